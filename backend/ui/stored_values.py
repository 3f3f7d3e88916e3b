"""From a row of Airflow's database to what the Data tab shows of its value, within bounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

from airflow_xcom.backend.blobs import ranges_of
from airflow_xcom.backend.compat import hides_value_of
from airflow_xcom.backend.envelope import Coordinate, Envelope
from airflow_xcom.backend.errors import HiddenValueError, RetiredPayloadError, SelectionTooLargeError, XComNotFoundError
from airflow_xcom.backend.settings import PREVIEWS, is_on
from airflow_xcom.backend.ui.array_view import is_array
from airflow_xcom.backend.ui.lines import is_series
from airflow_xcom.backend.ui.payload_tree import MASK, children, inner, is_pair, label, read_json, read_tree, text
from airflow_xcom.backend.ui.pictures import image_text, is_array_of_images, is_image, pixels_of_array, pixels_of_image
from airflow_xcom.backend.ui.provenance import python, where, writer
from airflow_xcom.backend.ui.rendering import Rendering, rendering
from airflow_xcom.backend.ui.rows import checked, hidden_tasks, is_hidden, is_masked, preview_of, rows_of
from airflow_xcom.backend.ui.shapes import is_geometry, wkb_of
from airflow_xcom.backend.ui.table_view import TableView, shown_item
from airflow_xcom.backend.ui.version_keys import VersionKey, envelope_at
from airflow_xcom.backend.ui.wide_frames import nested_table, table_view
from airflow_xcom.codecs import SelectionError, Table, Tagged
from airflow_xcom.codecs.formats.arrow.ranges import ArrowRanges
from airflow_xcom.codecs.quoting import cut

Fetch = Callable[[Sequence[tuple[int, int]]], Sequence[memoryview]]

_MOST = 64 << 20  # bytes that one request reads of a blob
_ITEMS = 100  # of a list or dict that are shown at a time
_PLAIN = 1 << 18  # characters of a plain value that are shown
_OURS = {"type", "bytes", "preview"}  # facts of a summary that are shown elsewhere
_FACTS = 20


class CountedFetch:
    """Reads ranges of a blob, counts the bytes, and stops where they become too many."""

    def __init__(self, fetch: Fetch, most: int = _MOST) -> None:
        self._fetch = fetch
        self._most = most
        self.bytes = 0

    def __call__(self, ranges: Sequence[tuple[int, int]]) -> Sequence[memoryview]:
        self.bytes += sum(stop - start for start, stop in ranges)
        if self.bytes > self._most:
            raise SelectionTooLargeError("what is to be read of this value", self.bytes, self._most)
        return self._fetch(ranges)


def open_value(at: Coordinate) -> StoredValue:
    """Return the value of an XCom, or of a version by its key, of which nothing has been read but its row or event."""
    hidden = hidden_tasks(str(at.dag_id))
    if is_hidden(hidden, str(at.task_id)):
        raise HiddenValueError(str(at.dag_id))
    if hides_value_of(str(at.key)):
        raise HiddenValueError(str(at.dag_id), f"Airflow masks what is named {at.key}")
    if (version := VersionKey.parse(at.key)) is not None:
        return StoredValue(at, None, envelope_at(at, version))
    rows = rows_of(at)
    if not rows:
        raise XComNotFoundError(f"there is no XCom {at}")
    _, _, stored = rows[0]
    envelope = checked(stored, at)
    if is_masked(envelope):
        raise HiddenValueError(str(at.dag_id), f"Airflow masks the name of the asset of {at.key}")
    if envelope is not None and envelope.retired is not None:
        raise RetiredPayloadError(envelope.retired.at, envelope.retired.rule, at.task_id)
    return StoredValue(at, stored, envelope)


@dataclass
class StoredValue:
    """A value, as far as it is read.

    Attributes:
        at: which XCom it is.
        stored: what the row holds.
        envelope: what the row holds, unless that is the value itself.
        most: bytes that may be read of its blob.
    """

    at: Coordinate
    stored: Any
    envelope: Envelope | None
    most: int = _MOST
    _reads: list[CountedFetch] = field(default_factory=list)
    _rendering: Rendering | None = None

    @cached_property
    def preview(self) -> str:
        """Return what may be shown of it."""
        return preview_of(self.envelope)

    @property
    def read(self) -> int:
        """Return the bytes that were read of the blob."""
        return sum(fetch.bytes for fetch in self._reads) + (self._rendering or Rendering()).read

    def fetch(self) -> Fetch:
        """Return what reads ranges of the blob; raise SelectionError if the value has none."""
        if self.envelope is None or self.envelope.reference is None:
            raise SelectionError("the value is in the row and has no blob")
        self._reads.append(CountedFetch(ranges_of(self.envelope.reference), self.most))
        return self._reads[-1]

    @property
    def size(self) -> int:
        """Return the bytes of the blob, or 0."""
        return 0 if self.envelope is None or self.envelope.reference is None else self.envelope.reference.size

    @property
    def is_arrow(self) -> bool:
        """Return whether its blob is an Arrow file."""
        is_file = bool(self.size) and self.envelope.reference.format == "arrow"  # type: ignore[union-attr]
        return is_file and self.rendering.node is None

    @property
    def rendering(self) -> Rendering:
        """Return what is shown in place of the value, if an option and its codec say so."""
        if self._rendering is None:
            self._rendering = Rendering()
            if self.preview == "rows" and self.envelope and not self.envelope.items and is_on("data_tab_render"):
                self._rendering = rendering(self.envelope)
        return self._rendering

    def again(self, most: int = _MOST) -> StoredValue:
        """Return the same value, of which nothing has been read; bytes count for both."""
        return StoredValue(self.at, self.stored, self.envelope, most, self._reads, self._rendering)

    def refuse_hidden(self, least: str = "rows") -> None:
        """Raise HiddenValueError unless what ``least`` names may be shown."""
        if PREVIEWS.index(self.preview) > PREVIEWS.index(least):
            why = f"it was pushed, or is shown here, with preview = {self.preview}"
            raise HiddenValueError(str(self.at.dag_id), why)

    @property
    def root(self) -> Any:
        """Return its nodes, or what its codec renders; of an Arrow file, the table.

        Raises:
            DecodeError, StoreError: The payload is damaged, gone, or cannot be reached.
        """
        return self._stored_root if self.rendering.node is None else self.rendering.node

    @cached_property
    def _stored_root(self) -> Any:
        if self.envelope is None:
            return self.stored
        reference = self.envelope.reference
        if self.envelope.items:
            return {str(item.coordinate.key): self._of_item(item).root for item in self.envelope.items}
        if reference is None:
            return read_json(self.envelope.data)
        if reference.format != "arrow":
            return read_tree(self.fetch(), reference.size)
        file = ArrowRanges(self.fetch(), reference.size)
        return table_view(file, file.note.tag, file.note.meta, self._dtypes(), file.compression)

    def _of_item(self, item: Envelope) -> StoredValue:
        return StoredValue(item.coordinate, None, item, self.most, self._reads, Rendering())

    def _dtypes(self) -> dict[str, str]:
        told = self.envelope.summary.get("dtypes") if self.envelope is not None else None
        return {name: dtype for name, dtype in (told or {}).items() if type(dtype) is str and not name.endswith("…")}

    def node(self, path: Sequence[int]) -> Any:
        """Return the node at a path of positions; raise SelectionError if there is none, or it is masked."""
        node = self.root
        for position in path:
            items = _items(node)
            if not 0 <= position < len(items):
                raise SelectionError(f"the value has nothing at {list(path)[:20]}")
            name, node = items[position]
            if _hides(name):
                raise SelectionError(f"Airflow masks what is named {name}")
        return node

    def table(self, path: Sequence[int] = ()) -> TableView:
        """Return the table at a path; raise SelectionError if there is none."""
        node = self.node(path)
        if isinstance(node, TableView):
            return node
        tag = node.tag if isinstance(node, Tagged) else ""
        found = inner(node)
        if not isinstance(found, Table):
            raise SelectionError(f"the value at {list(path)[:20]} is not a table")
        dtypes = {} if path or self.rendering.node is not None else self._dtypes()
        return nested_table(tag, found.table, inner(found.meta), dtypes)

    def array(self, path: Sequence[int] = ()) -> tuple[Any, list[int], Any, str]:
        """Return dtype, shape, elements and order of the array at a path; raise SelectionError if there is none."""
        node = self.node(path)
        if not is_array(node):
            raise SelectionError(f"the value at {list(path)[:20]} is not an array of numbers")
        parts: list[Any] = inner(node)
        dtype, shape, elements, *order = parts
        return dtype, shape, elements, "F" if order else "C"

    def has_array(self, path: Sequence[int]) -> bool:
        """Return whether there is an array of numbers at a path."""
        return is_array(self.node(path))

    def pixels(self, path: Sequence[int], number: int = 0) -> Any:
        """Return the pixels of an image, or of one of those in an array; raise SelectionError if there is none."""
        node = self.node(path)
        if is_image(node):
            return pixels_of_image(node)
        dtype, shape, elements, order = self.array(path)
        if not is_array_of_images(dtype, shape):
            raise SelectionError(f"an array of {shape} {dtype} is no image")
        return pixels_of_array(shape, elements, order, number)

    def geometries(self, path: Sequence[int], column: int, rows: range) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Yield rows and the WKB of their geometries; raise SelectionError if there are none."""
        node = self.node(path)
        if is_geometry(node):
            yield 0, wkb_of(node)
            return
        table = self.table(path)
        if column not in table.geometries:
            raise SelectionError("the table has no such column of geometries, or Airflow masks what has its name")
        shown = range(table.rows)[rows.start : rows.stop]
        for row, data in zip(shown, table.take([column], shown).column(0).to_pylist(), strict=True):
            if data is not None:
                yield row, iter([data])

    def describe(self, path: Sequence[int] = ()) -> dict[str, Any]:
        """Return what the value, or a part of it, is, and how it is best looked at."""
        facts = {"preview": self.preview, "where": where(self.envelope), "python": python(self.at, self.envelope)}
        if self.envelope is not None:
            summary = self.envelope.summary
            facts |= {"type": str(summary.get("type", self.envelope.tag))[:200], "tag": self.envelope.tag[:200]}
            facts |= self._inexact(self.envelope) | self._summary(self.envelope)
        if self.preview == "none":
            return {**facts, "kind": "hidden"}
        if self.envelope is None:
            return {**facts, "type": type(self.stored).__name__, **self._plain()}
        if path:
            self.refuse_hidden()
        return {**facts, **self._kind(self.node(path), path)}

    def _inexact(self, envelope: Envelope) -> dict[str, Any]:
        """Return how many parts are not what was pushed, and where the first of them are, if rows may be shown."""
        if envelope.inexact is None:
            return {}
        places = [cut(place) for place in envelope.inexact.places] if self.preview == "rows" else []
        return {"inexact": {"count": envelope.inexact.count, "places": places}}

    def _summary(self, envelope: Envelope) -> dict[str, Any]:
        """Return what the codec of another package says of a value, and why it renders nothing."""
        told = envelope.summary if envelope.tag in envelope.suppliers and self.preview != "none" else {}
        facts = {name: fact for name, fact in told.items() if name not in _OURS}
        shown = {cut(name): cut(json.dumps(fact)) for name, fact in islice(shown_item(facts).items(), _FACTS)}
        return {"summary": shown, "problem": self.rendering.problem}

    def _plain(self) -> dict[str, Any]:
        if self.preview != "rows":
            return {"kind": "hidden"}
        shown = json.dumps(shown_item(self.stored), indent=2)
        return {"kind": "json", "text": shown[:_PLAIN], "length": len(shown)}

    def _kind(self, node: Any, path: Sequence[int]) -> dict[str, Any]:
        if isinstance(node, TableView) or isinstance(inner(node), Table):
            table = self.table(path)
            facts: dict[str, Any] = {"rows": table.rows, "width": len(table.schema), "index_width": table.index}
            facts |= {"line": is_series(table), "shapes": table.geometries[:1], "has_bytes": table.has_bytes}
            return {"kind": "table", **facts}
        if is_array(node):
            dtype, shape, _, order = self.array(path)
            facts = {"dtype": dtype, "shape": shape, "order": order}
            return {"kind": "array", **facts, "picture": is_array_of_images(dtype, shape)}
        if self.preview != "rows":
            return {"kind": "hidden"}
        if type(node) is str:
            return {"kind": "text", "text": node[:_PLAIN], "length": len(node)}
        if is_image(node):
            return {"kind": "picture", "text": image_text(node)}
        return {"kind": "shape" if is_geometry(node) else "tree", "writer": writer(node)}

    def items(self, path: Sequence[int], first: int) -> dict[str, Any]:
        """Return what stands at a path, and some of its items.

        Raises:
            HiddenValueError: Only names and types may be shown.
            SelectionError: There is nothing.
        """
        self.refuse_hidden()
        node = self.node(path)
        found = _items(node)
        shown = found[first : first + _ITEMS]
        items = [self._item(name, each, [*path, first + number]) for number, (name, each) in enumerate(shown)]
        return {**self._item("", node, path), "items": items, "first": first, "length": len(found)}

    def _item(self, name: str, node: Any, path: Sequence[int]) -> dict[str, Any]:
        is_hidden, name = _hides(name), cut(name)
        if is_hidden:
            return {"name": name, "type": "masked", "text": MASK, "length": 0}
        if isinstance(node, TableView):
            facts = {"type": node.tag, "text": f"{node.rows:,} rows", "length": 0, "kind": "table"}
            return {"name": name, **facts, "path": list(path)}
        facts = {"name": name, "type": label(node), "text": text(node), "length": len(children(node))}
        if isinstance(inner(node), Table):
            facts |= {"kind": "table", "length": 0}
        elif is_array(node):
            dtype, shape, *_ = inner(node)
            facts |= {"kind": "array", "length": 0, "text": f"{tuple(shape)} of {dtype}"}
        elif is_image(node):
            facts |= {"kind": "picture", "length": 0, "text": image_text(node)}
        elif is_geometry(node):
            facts |= {"kind": "shape", "length": 0}
        return {**facts, "path": list(path)}


def _items(node: Any) -> list[tuple[str, Any]]:
    """Return the items of a node, each with its name."""
    found: Any = children(node) if not is_array(node) else ()
    if type(found) is dict:
        return [(key if type(key) is str else text(key), item) for key, item in found.items()]
    if is_pair(found):
        return [("", found[0]), (found[0], found[1])]
    return [(str(position), item) for position, item in enumerate(found)]


def _hides(name: str) -> bool:
    return bool(name) and hides_value_of(name)
