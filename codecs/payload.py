"""A value as a payload and back: encoded once, written in any of the three syntaxes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.error_location import locate
from airflow_xcom.codecs.errors import (
    CircularReferenceError,
    CodecError,
    CorruptPayloadError,
    EncodeError,
    NestingError,
    SelectionError,
    UnsupportedTypeError,
)
from airflow_xcom.codecs.formats import json
from airflow_xcom.codecs.formats.arrow import file as arrow
from airflow_xcom.codecs.formats.compression import NO_COMPRESSION, Compression
from airflow_xcom.codecs.formats.msgpack import writer as msgpack
from airflow_xcom.codecs.nodes import Table, Tagged
from airflow_xcom.codecs.registry import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow_xcom.codecs.codec import Codec

__all__ = ["FORMATS", "Payload", "arrow_file", "decode", "decode_json", "decode_part", "encode"]

ARROW, MSGPACK = "arrow", "msgpack"
FORMATS = (ARROW, MSGPACK)

_NATIVE_TAGS = {dict: "dict", list: "list", str: "str", bytes: "bytes", float: "float", int: "int", bool: "bool"}


@dataclass(frozen=True, eq=False)
class Payload:
    """An encoded value.

    Attributes:
        tag: the tag of the outermost codec, or the name of a native type (``"dict"``, ``"list"``, …).
        format: ``"arrow"`` (an Arrow IPC file) or ``"msgpack"`` (a stream of MessagePack objects).
        compression: of the blob; the row is never compressed.
        is_stream: whether the value is made while it is written, so that its size is not known before.
        summary: a few JSON facts about the value, for people.
        suppliers: for each tag in it that is not a built-in one, the distribution (``"name version"``) or the file that
            registered its codec.
    """

    tag: str
    format: str
    compression: Compression
    summary: dict[str, Any]
    suppliers: dict[str, str]
    _node: Tagged | None  # of the Arrow format: its Table, with the meta in the JSON syntax already
    _writer: msgpack.Writer
    _tree: bytes
    _raw: list[Any]
    is_stream: bool = False

    @cached_property
    def chunks(self) -> Iterable[Any]:
        """The bytes of the blob in order.

        Those that are not compressed share the memory of the value they were made from, so they must be written out
        before that value changes.  Those of a stream are made as they are taken, once.
        """
        if self.compression.algorithm == "none" and not self.is_stream:
            return self._raw
        if self._node is None:
            return msgpack.write(self._writer, self._tree, self.compression, self._raw)
        table: Table = self._node.node
        prepared = arrow.prepare(table, self.compression)
        if prepared.is_unchanged and not self.is_stream:
            return self._raw
        made = arrow.write_file(table, self._node.tag, self._node.version, table.meta, prepared)
        return made if self.is_stream else list(made)

    @cached_property
    def size(self) -> int:
        """The number of bytes of the blob.

        Raises:
            TypeError: it is a stream.
        """
        self._refuse_stream()
        return sum(len(chunk) for chunk in self.chunks)

    @cached_property
    def raw_size(self) -> int:
        """The number of bytes of the blob without compression, which costs nothing to know.

        Raises:
            TypeError: it is a stream.
        """
        self._refuse_stream()
        return sum(len(chunk) for chunk in self._raw)

    def to_bytes(self) -> bytes:
        """The blob, in one piece."""
        return b"".join(self.chunks)

    def to_json(self) -> Any:
        """The same value in the JSON syntax, for the database row; the codecs are not asked again.

        Raises:
            TypeError: it is a stream.
        """
        self._refuse_stream()
        if self._node is not None:
            table: Table = self._node.node
            stream = b"".join(arrow.stream_chunks(table.table))
            form = {json.MARK: ["table", [table.meta, json.base64(stream)]]}
            return {json.MARK: [self._node.tag, self._node.version, form]}
        try:
            return json.dump(msgpack.read_nodes(self._tree, self._writer))
        except json.TooDeepError:
            return {json.MARK: ["blob", json.base64(b"".join(self._raw))]}

    def _refuse_stream(self) -> None:
        if self.is_stream:
            msg = "what a stream holds is not known before it is written; encode the value without stream=True"
            raise TypeError(msg)


def encode(value: Any, *, stream: bool = False, compression: Compression | str = NO_COMPRESSION) -> Payload:
    """Encode a value.

    Args:
        value: of any type that has a codec.
        stream: let what can be written piece by piece, as a RecordBatchReader of some size, be a stream.
        compression: of the blob: ``"none"``, ``"lz4"``, ``"zstd"``, ``"zstd:LEVEL"``, or ``"auto"``.

    Raises:
        EncodeError: some part of it cannot be stored exactly; the error says which, and what to do.
        ValueError: there is no such compression.
    """
    chosen = Compression.parse(compression) if isinstance(compression, str) else compression
    try:
        return _encode(value, chosen, stream=stream)
    except EncodeError as error:
        if isinstance(error, NestingError) and (turn := _turn(error.trail)):
            found = type(turn[0]).__name__
            circular = CircularReferenceError(f"the {found} contains itself", path=locate(value, turn))
            raise circular from None
        error.path = locate(value, error.trail)
        if isinstance(error, UnsupportedTypeError):
            error.reason = "; ".join([error.reason, *registry.entry_points.failures])
        raise
    except RecursionError as error:
        msg = "it is nested too deeply"
        raise NestingError(msg) from error


def _turn(trail: list[Any]) -> list[Any]:
    """The part of a trail, innermost object first, at whose inner end an object comes again; or nothing."""
    seen: set[int] = set()
    for place, item in enumerate(reversed(trail)):
        if id(item) in seen:
            return trail[-place - 1 :]
        seen.add(id(item))
    return []


def _encode(value: Any, compression: Compression, *, stream: bool) -> Payload:
    found = registry.for_type(type(value)) if type(value) not in _NATIVE_TAGS else None
    writer = _writer()
    root = writer.tagged(value) if found else value
    tag = found.tag if found else _NATIVE_TAGS.get(type(value), type(value).__name__)
    summary = _summary(found, value)
    if isinstance(root, Tagged) and isinstance(root.node, Table):
        meta, tags = _meta(root.node.meta)
        table = Table(root.node.table, meta, root.node.memory, root.node.more)
        is_stream = stream and table.more is not None
        table = table if is_stream else table.whole()
        raw = [] if is_stream else list(arrow.write_file(table, root.tag, root.version, meta))
        node = Tagged(root.tag, root.version, table)
        suppliers = _suppliers({root.tag, *tags, *writer.used_tags})
        return Payload(tag, ARROW, compression, summary, suppliers, node, writer, b"", raw, is_stream)
    tree = writer.pack(root)
    if writer.repeats:
        writer = _writer(first=writer)
        tree = writer.pack(root)
    raw = msgpack.write(writer, tree)
    return Payload(tag, MSGPACK, compression, summary, _suppliers(writer.used_tags), None, writer, tree, raw)


def _suppliers(tags: set[str]) -> dict[str, str]:
    known = ((tag, registry.supplier(tag)) for tag in sorted(tags))
    return {tag: supplier for tag, supplier in known if supplier is not None}


def _writer(*, inline: bool = False, first: msgpack.Writer | None = None) -> msgpack.Writer:
    return msgpack.Writer(registry.for_type, arrow.stream_chunks, inline=inline, first=first)


def _meta(node: Any) -> tuple[Any, set[str]]:
    """Return what Arrow cannot say about a table, in the JSON syntax, and the tags in it."""
    writer = _writer(inline=True)
    packed = writer.pack(node)
    try:
        return json.dump(msgpack.read_nodes(packed, writer)), writer.used_tags
    except json.TooDeepError:
        return {json.MARK: ["blob", json.base64(b"".join(msgpack.write(writer, packed)))]}, writer.used_tags


def _summary(found: Codec | None, value: Any) -> dict[str, Any]:
    """A few facts for people; where they cannot be told, nothing, which is no reason to refuse a value."""
    if found is None:
        return _summarize(value)
    try:
        return found.summarize(value)
    except Exception:  # noqa: BLE001 - it is the library's own code that counts, prints or slices
        return {}


def _summarize(value: Any) -> dict[str, Any]:
    return {"length": len(value)} if isinstance(value, dict | list | str | bytes) else {}


def decode(memory: Any, format: str) -> Any:  # noqa: A002 - the field's name in a reference
    """The value of a blob.

    Args:
        memory: the blob, as any bytes-like object.  Writable memory is used in place, and the value keeps it alive
            and may change it; read-only memory is copied first.
        format: one of :data:`FORMATS`.

    Raises:
        DecodeError: it is damaged, newer than this release, or tagged with what no codec here reads.
    """
    view = memoryview(memory)
    view = view.cast("B") if not view.readonly else memoryview(bytearray(view))
    if format == MSGPACK:
        return _read_msgpack(view)
    if format == ARROW:
        note, table = arrow.read_file(view)
        return _restorer(note.tag, note.version)(Table(table, _load(note.meta), view, unpack_cells=_unpack_cells))
    msg = f"the payload has the format {format!r}, and this release reads {', '.join(FORMATS)}"
    raise CorruptPayloadError(msg)


def decode_json(value: Any) -> Any:
    """The value that was written in the JSON syntax.

    Raises:
        DecodeError: see :func:`decode`.
    """
    return _load(value)


def decode_part(
    fetch: Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]],
    size: int,
    *,
    columns: Sequence[Any] | None = None,
    rows: slice | None = None,
    as_: str | None = None,
) -> Any:
    """Some columns and rows of a table that is a blob in the Arrow format, of which no more is read.

    No digest vouches for a part of a blob; every value that is read is checked to be valid Arrow data instead.

    Args:
        fetch: gives the bytes of the blob from the start to before the stop of each range.
        size: of the blob in bytes.
        columns: labels, in the order that is wanted; None for all.
        rows: with a step of 1; None for all.
        as_: ``"pandas"``, ``"polars"`` or ``"pyarrow"``; None for the type that was encoded.

    Raises:
        UnknownColumnError: there is no such column.
        SelectionError: the value is not a table, or that type cannot hold a column of it.
        DecodeError: see :func:`decode`.
    """
    from airflow_xcom.codecs.formats.arrow.ranges import ArrowRanges
    from airflow_xcom.codecs.tables import convert as conversion
    from airflow_xcom.codecs.tables.select import Wanted, select

    if as_ not in {None, *conversion.FAMILIES}:
        raise SelectionError(f"as_={as_!r}: give {', '.join(map(repr, conversion.FAMILIES))}, or None")
    file = ArrowRanges(fetch, size)
    written = conversion.family(file.note.tag)
    chosen = select(
        file.note.tag,
        _load(file.note.meta),
        file.schema,
        file.count,
        Wanted(columns, rows, whole=as_ in {None, written}),
    )
    part = Table(file.table(chosen.places, chosen.rows), chosen.meta, file.memory, unpack_cells=_unpack_cells)
    if as_ not in {None, written} and written != "pyarrow":
        return conversion.convert(chosen.tag, part, as_)
    value = _restorer(chosen.tag, file.note.version)(part)
    return conversion.as_type(as_, value) if as_ is not None and written == "pyarrow" else value


def arrow_file(value: Any) -> bytes | None:
    """Return the blob in the Arrow format for a table in the JSON syntax, made without its codec; None for the rest.

    Raises:
        DecodeError: The table is damaged.
    """
    match value:
        case {"$": [str(tag), int(version), {"$": ["table", [meta, stream]]}]}:
            table = _load({json.MARK: ["table", [None, stream]]})
            return b"".join(arrow.write_file(table, tag, version, meta))
    return None


def _load(value: Any) -> Any:
    read_body = partial(_read_msgpack, newest=msgpack.PLAIN_VERSION)  # of any number in one row
    return json.load(value, _restorer, _read_table, read_body)


def _read_msgpack(memory: memoryview, *, newest: int = msgpack.VERSION) -> Any:
    return msgpack.read(memory, _restorer, _read_table, newest=newest)


def _read_table(stream: memoryview, meta: Any) -> Table:
    table = arrow.read_stream(stream, meta)
    table.unpack_cells = _unpack_cells
    return table


def _restorer(tag: str, version: int) -> Callable[[Any], Any]:
    """What turns the nodes of a tag into values."""
    decode = registry.for_tag(tag, version).decode

    def restore(node: Any) -> Any:
        try:
            return decode(node, version)
        except (CodecError, MemoryError):
            raise
        except Exception as error:
            msg = f"the codec {tag!r} cannot read what is stored: {type(error).__name__}: {error}"
            raise CorruptPayloadError(msg) from error

    return restore


def _unpack_cells(tags: Sequence[Sequence[Any]], data: memoryview, offsets: Sequence[int]) -> list[Any]:
    """Return the values that :meth:`msgpack.Writer.pack_cells` packed.

    Raises:
        DecodeError: see :func:`decode`.
    """
    cells = (data[begin:end] for begin, end in pairwise(offsets))
    return msgpack.read_cells(tags, cells, _restorer, _read_table)
