"""Some columns and rows of an Arrow IPC file, read as ranges of its bytes from wherever it is.

The file gets an address space of its size, in which only what is read takes memory, and Arrow opens it there.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import pyarrow as pa

from airflow_xcom.codecs.errors import any_error_as_corrupt
from airflow_xcom.codecs.formats.arrow.batch_ranges import Batch, in_rounds
from airflow_xcom.codecs.formats.arrow.downcast import original_schema, restore_types
from airflow_xcom.codecs.formats.arrow.file import read_note
from airflow_xcom.codecs.formats.arrow.flatbuffers import (
    MAGIC,
    FlatTable,
    Range,
    blocks,
    footer_range,
    inflated_size,
    read_message,
)
from airflow_xcom.codecs.formats.arrow.validation import check_values
from airflow_xcom.codecs.formats.compressed_frames import check_inflation

_any_error_as_damage = partial(
    any_error_as_corrupt,
    "the payload is not an Arrow file of this distribution, or is damaged",
    remedy="; run the task again",
)
_TAIL = 1 << 16  # bytes; enough for the footer of a table of hundreds of columns
_HEAD = 1 << 14  # bytes that are read with them; enough for the metadata of one batch of a hundred columns
_GAP = 1 << 14  # bytes that are read along rather than asked around
_AT_ONCE = 1 << 26  # bytes that are asked for at a time; each takes memory twice until they are in place


class ArrowRanges:
    """An Arrow IPC file of ours, of which only the metadata are read yet.

    Args:
        fetch: returns the bytes of each range, as ``Store.read`` does.
        size: of the file.

    Attributes:
        note: what the file says of the value that it stands for.
        schema: of the table, without metadata.
        count: its rows.
        compression: of its batches: ``"lz4"``, ``"zstd"`` or ``"none"``.
        memory: what the tables lie in that :meth:`table` returns.

    Raises:
        CorruptPayloadError: the file is damaged, or not an Arrow file of ours.
        NewerFormatError: a newer release wrote it.
    """

    def __init__(self, fetch: Callable[[Sequence[Range]], Sequence[memoryview]], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._unread = range(size)  # without the head and the tail, which are read at first
        with _any_error_as_damage():
            self.memory = memoryview(mmap.mmap(-1, size))
            self._open()

    def _open(self) -> None:
        footer = self._read_footer()
        groups = blocks(footer)
        found = list(chain.from_iterable(groups))
        if sum(block.metadata + block.body for block in found) > self._size:
            raise ValueError("it has more in it than bytes")
        self._read((block.start, block.start + block.metadata) for block in found)
        self._dictionaries, messages = ([read_message(self.memory, block.start) for block in group] for group in groups)
        self._file = pa.py_buffer(self.memory)
        stored = pa.ipc.open_file(self._file).schema  # which checks the footer, before its schema is read below
        self.note = read_note(stored)
        self._stored = stored.remove_metadata()
        self.schema = original_schema(self._stored, self.note.types)
        fields = table.tables(1) if (table := footer.table(1)) else ()  # of the schema
        self._ids = [set(_dictionary_ids(field)) for field in fields]  # of the dictionaries of each column
        self._batches = [Batch(message, stored.types) for message in messages]
        self.count = sum(batch.length for batch in self._batches)
        self.compression = next((batch.compression for batch in self._batches), "none")

    def _read_footer(self) -> FlatTable:
        tail = max(0, self._size - _TAIL)
        head = min(_HEAD, tail)
        self._read([(0, head), (tail, self._size)])
        self._unread = range(head, tail)
        self.memory[: len(MAGIC)] = MAGIC
        start, stop = footer_range(self.memory)
        self._read([(start, tail)])
        return FlatTable.root(self.memory[start:stop])

    def table(self, columns: Sequence[int], rows: range) -> pa.Table:
        """Return the columns at these positions and the rows in this range, every value of them checked."""
        with _any_error_as_damage():
            schema = pa.schema([self._stored.field(column) for column in columns])
            if not columns:
                return schema.empty_table()
            table = pa.Table.from_batches(self._selected(columns, rows, schema), schema)
            check_values(table)
            types = self.note.types
            chosen = {str(new): types[str(old)] for new, old in enumerate(columns) if str(old) in types}
            return restore_types(table, chosen, self._size)

    def _selected(self, columns: Sequence[int], rows: range, schema: Any) -> list[Any]:
        needed = sorted(set(columns))
        parts = [(number, part) for number, part in enumerate(self._parts(rows)) if part]
        parts = parts or [(number, range(0)) for number in range(len(self._batches))[:1]]  # it has the dictionaries
        wanted = (self._batches[number].ranges(needed, part, self.memory) for number, part in parts)
        for ranges in in_rounds([iter([self._dictionary_ranges(needed)]), *wanted]):
            self._read(ranges)
        check_inflation(inflated_size(self.memory, is_file=True), self._size)
        # Arrow copies what it is told to include, and must be told where it would decompress everything.
        is_compressed = any(batch.compression != "none" for batch in self._batches)
        options = pa.ipc.IpcReadOptions(included_fields=needed if is_compressed else None)
        reader = pa.ipc.open_file(self._file, options=options)
        positions = [needed.index(column) for column in columns] if is_compressed else columns
        batches = ((reader.get_batch(number), part) for number, part in parts)
        return [
            pa.RecordBatch.from_arrays(
                [batch.column(position).slice(part.start, len(part)) for position in positions], schema=schema
            )
            for batch, part in batches
        ]

    def _parts(self, rows: range) -> Iterator[range]:
        """Yield for each batch which of its own rows are among ``rows``."""
        first = 0
        for batch in self._batches:
            yield range(max(0, rows.start - first), min(batch.length, rows.stop - first))
            first += batch.length

    def _dictionary_ranges(self, columns: list[int]) -> list[Range]:
        """Return where the dictionaries of columns are, and compressed ones, which Arrow decompresses in any case."""
        ids = set().union(*(self._ids[column] for column in columns))
        return [each.body for each in self._dictionaries if each.dictionary in ids or each.is_compressed]

    def _read(self, ranges: Iterable[Range]) -> None:
        """Put bytes of the file where they belong in memory."""
        found = list(ranges)
        merged = _merged(found)
        if merged and not 0 <= merged[0][0] <= merged[-1][1] <= self._size:
            raise ValueError("it refers to bytes that it has not")
        unread = self._unread
        for group in _groups(_merged(part for part in found if part[0] < unread.stop and part[1] > unread.start)):
            for (start, stop), piece in zip(group, self._fetch(group), strict=True):
                self.memory[start:stop] = piece


def _dictionary_ids(field: FlatTable) -> Iterator[int]:
    if (encoding := field.table(4)) is not None:
        yield encoding.number(0, "<q")
    for child in field.tables(5):
        yield from _dictionary_ids(child)


def _merged(ranges: Iterable[Range]) -> list[Range]:
    """Return ranges in order, those close to each other as one."""
    merged: list[Range] = []
    for start, stop in sorted(ranges):
        if stop <= start:
            continue
        if merged and start - merged[-1][1] <= _GAP:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return merged


def _groups(ranges: list[Range]) -> Iterator[list[Range]]:
    """Yield the ranges in groups, each of about as many bytes as are asked for at a time."""
    group: list[Range] = []
    size = 0
    for begin, end in ranges:
        for start in range(begin, end, _AT_ONCE):
            stop = min(start + _AT_ONCE, end)
            if group and size + stop - start > _AT_ONCE:
                yield group
                group, size = [], 0
            group.append((start, stop))
            size += stop - start
    if group:
        yield group
