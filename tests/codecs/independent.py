"""A reader of the stored form that shares no code with airflow_xcom, written from docs/FORMAT.md alone.

MessagePack is read by msgspec, tables by pyarrow, rows by json.  What comes out is a *neutral tree*: the nodes of the
format, as Python's natives, ``Tagged``, ``Buffer`` and ``Table``.  ``interpret`` goes one step further for a few tags,
as a reader in another language would.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import struct
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa
import xxhash


class Tagged(NamedTuple):
    """A node that a codec wrote."""

    tag: str
    version: int
    node: Any

    def __hash__(self) -> int:  # the key of a map may be any node, a list below a tag included
        return hash(self.tag)


@dataclass(frozen=True)
class Buffer:
    """Raw memory."""

    data: bytes


@dataclass(frozen=True)
class Table:
    """An Arrow table and its meta."""

    table: pa.Table
    meta: Any


def text(node: Any) -> str:
    """A neutral tree as text that is equal only for equal trees: types, order of keys and bits of floats included."""
    if isinstance(node, Tagged):
        return f"{node.tag}/{node.version}({text(node.node)})"
    if isinstance(node, Table):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, node.table.schema) as writer:
            writer.write_table(node.table)
        return f"table({text(node.meta)}, {sink.getvalue().to_pybytes()!r})"
    if isinstance(node, float):
        return f"float({struct.pack('>d', node).hex()})"
    if isinstance(node, list):
        return f"[{', '.join(map(text, node))}]"
    if isinstance(node, dict):
        return "{" + ", ".join(f"{text(key)}: {text(item)}" for key, item in node.items()) + "}"
    assert node is None or type(node) in (bool, int, str, bytes, Buffer), type(node)
    return repr(node)


# -- section 4: the MessagePack body -------------------------------------------------------------------------

# Head byte -> bytes of the length behind it, bytes of content beside those the length counts.  (MessagePack's own
# specification; msgspec reads one object, and does not say where in a stream it ends.)
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_SIZED |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_FIXED = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2}
_FIXED |= {0xD2: 4, 0xD3: 8, 0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_COUNTED = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def end_of(data: bytes, position: int) -> int:
    """Where the MessagePack object that begins at ``position`` ends."""
    due = 1
    while due:
        head, due, position = data[position], due - 1, position + 1
        if head in _SIZED:
            width, more = _SIZED[head]
            position += width + more + int.from_bytes(data[position : position + width], "big")
        elif head in _FIXED:
            position += _FIXED[head]
        elif head in _COUNTED:
            width, objects = _COUNTED[head]
            due += objects * int.from_bytes(data[position : position + width], "big")
            position += width
        elif 0x80 <= head < 0xA0:
            due += (head & 15) * (2 if head < 0x90 else 1)
        elif 0xA0 <= head < 0xC0:
            position += head & 31
        else:
            assert head < 0x80 or head >= 0xE0, hex(head)
    assert position <= len(data)
    return position


def objects_of(data: bytes) -> list[tuple[int, int]]:
    """Where each object of a stream begins and ends."""
    places, position = [], 0
    while position < len(data):
        end = end_of(data, position)
        places.append((position, end))
        position = end
    return places


class Body(NamedTuple):
    """A MessagePack body, taken apart."""

    tags: list[tuple[str, int]]
    tree: bytes
    sizes: list[Any]  # or [size, algorithm, size before], as the header has them
    buffers: list[bytes]
    starts: list[int]  # of each bin object's content


def open_body(data: bytes) -> Body:
    """The parts of a body of version 1 or 2, with everything checked that section 4 says of them."""
    (_, end), *rest = objects_of(data)
    magic, version, tags, sizes, tree_size = msgspec.msgpack.decode(data[:end])
    assert magic == "airflow_xcom"
    assert version == (2 if any(isinstance(entry, list) for entry in [tree_size, *sizes]) else 1)
    return _open_parts(data, rest, tags, sizes, tree_size)


def _open_parts(data: bytes, places: list[tuple[int, int]], tags: Any, sizes: list[Any], tree_size: Any) -> Body:
    (tree_start, tree_end), *rest = places
    tree = data[tree_start:tree_end]
    if isinstance(tree_size, list):
        size, *how = tree_size
        tree, tree_size = inflate(msgspec.msgpack.decode(tree), *how), size
    assert tree_size == tree_end - tree_start
    pieces, starts = [], []
    for start, stop in rest:
        if data[start] == 0xC0:
            assert start % 64 != 59, "padding goes no further than it must"
            continue
        assert data[start] == 0xC6, "a bin 32 object"
        assert (start + 5) % 64 == 0
        starts.append(start + 5)
        pieces.append(data[start + 5 : stop])
    buffers = []
    for entry in sizes:
        size, *how = entry if isinstance(entry, list) else [entry]
        buffer = pieces.pop(0)
        while len(buffer) < size:
            buffer += pieces.pop(0)
        assert len(buffer) == size
        buffers.append(inflate(buffer, *how) if how else buffer)
    assert not pieces
    return Body([(tag, version) for tag, version in tags], tree, sizes, buffers, starts)


def items_of(data: bytes) -> list[tuple[int, int]]:
    """Where each item of a body of version 3 begins and ends."""
    end = end_of(data, 0)
    magic, version, _, items = msgspec.msgpack.decode(data[:end])
    assert (magic, version) == ("airflow_xcom", 3)
    places = []
    for sizes, tree_size, digest in items:
        start = end + -end % 64
        assert set(data[end:start]) <= {0xC0}
        end = start + _stored(tree_size)
        for entry in sizes:
            assert _stored(entry) <= 2**32 - 64, "this reader takes no larger ones"
            end += 5 + -(end + 5) % 64 + _stored(entry)
        assert xxhash.xxh3_128_digest(data[start:end]) == digest
        places.append((start, end))
    assert end == len(data)
    return places


def _stored(entry: Any) -> int:
    size: int = entry[0] if isinstance(entry, list) else entry
    return size


def read_item(head: bytes, data: bytes, number: int) -> Any:
    """The neutral tree of one item of a body of version 3, from the header and the bytes of the item alone."""
    _, _, tags, items = msgspec.msgpack.decode(head)
    sizes, tree_size, _ = items[number]
    body = _open_parts(data, objects_of(data), tags, sizes, tree_size)
    before = sum(len(entry[0]) for entry in items[:number])
    return read_tree(body.tree, body.tags, [b""] * before + body.buffers)


def inflate(frames: bytes, algorithm: str, size: int) -> bytes:
    """What a sequence of frames of LZ4 or Zstandard holds."""
    assert algorithm in ("lz4", "zstd")
    found: bytes = pa.CompressedInputStream(pa.BufferReader(frames), algorithm).read()
    assert len(found) == size
    return found


def read_msgpack(data: bytes) -> Any:
    """The neutral tree of a MessagePack body."""
    head = data[: end_of(data, 0)]
    if msgspec.msgpack.decode(head)[1] == 3:
        return [read_item(head, data[start:end], number) for number, (start, end) in enumerate(items_of(data))]
    body = open_body(data)
    return read_tree(body.tree, body.tags, body.buffers)


def read_tree(packed: bytes, tags: list[tuple[str, int]], buffers: list[bytes]) -> Any:
    """The neutral tree of one packed node; an object that stands in several places is one object in it too."""
    shared: dict[int, Tagged] = {}

    def unpack(data: bytes) -> Any:
        return msgspec.msgpack.decode(data, ext_hook=extension)

    def records(names: Any, keys: list[Any], columns: list[list[Any]]) -> Any:
        rows = [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]
        return rows if names is None else dict(zip(names, rows, strict=True))

    def many(index: int, nodes: list[Any], places: list[int]) -> list[Any]:
        items: list[Any] = [Tagged(*tags[index], node) for node in nodes]
        for place in places:
            items.insert(place, None)
        return items

    def by_column(index: int, head: Any, names: Any, columns: list[list[Any]], places: list[int]) -> list[Any]:
        rows = [list(row) for row in zip(*columns, strict=True)]
        parts = rows if names is None else [dict(zip(names, row, strict=True)) for row in rows]
        return many(index, parts if head is None else [[head, part] for part in parts], places)

    def extension(code: int, data: memoryview) -> Any:
        content = bytes(data)
        if code in (0, 1):
            return Buffer(buffers[unpack(content)] if code else content)
        if code == 2:
            meta, stream = unpack(content)
            return Table(pa.ipc.open_stream(stream.data).read_all(), meta)
        if code == 3:
            place, index, node = unpack(content)
            shared[place] = Tagged(*tags[index], node)
        if code in (3, 4):
            return shared[place if code == 3 else unpack(content)]
        if code in (5, 6, 7):
            return {5: records, 6: many, 7: by_column}[code](*unpack(content))
        if code == 15:
            index, node = unpack(content)
            return Tagged(*tags[index], node)
        assert 16 <= code <= 127, code
        return Tagged(*tags[code - 16], unpack(content))

    return unpack(packed)


# -- section 5: the Arrow body -------------------------------------------------------------------------------


def read_arrow(data: bytes) -> Any:
    """The neutral tree of an Arrow body."""
    table = pa.ipc.open_file(data).read_all()
    note = json.loads(table.schema.metadata[b"airflow_xcom"])
    types = note.pop("types", {})
    assert set(note) == {"version", "tag", "tag_version", "meta"}
    assert note["version"] == (2 if types else 1)
    for place, name in types.items():
        field, column = table.schema.field(int(place)), table.column(int(place))
        wide = column.cast(getattr(pa, name.replace("double", "float64"))())
        wide = wide.fill_null(math.nan) if name == "double" else wide
        table = table.set_column(int(place), field.with_type(wide.type), wide)
    return Tagged(note["tag"], note["tag_version"], Table(table.replace_schema_metadata(None), read_json(note["meta"])))


def read_blob(data: bytes, form: str) -> Any:
    """The neutral tree of a blob of a format."""
    return {"msgpack": read_msgpack, "arrow": read_arrow}[form](data)


# -- section 3: the JSON syntax ------------------------------------------------------------------------------


def read_json(value: Any) -> Any:
    """The neutral tree of a value in the JSON syntax."""
    return _read_json(value, {})


def _read_json(value: Any, shared: dict[int, Any]) -> Any:
    if isinstance(value, list):
        return [_read_json(item, shared) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {"$"}:
        return {key: _read_json(item, shared) for key, item in value.items()}
    if len(value["$"]) == 3:
        tag, version, node = value["$"]
        return Tagged(tag, version, _read_json(node, shared))
    form, content = value["$"]
    return _NESTING[form](content, shared) if form in _NESTING else _FORMS[form](content)


def _shared(content: Any, shared: dict[int, Any]) -> Any:
    place, node = content
    return shared.setdefault(place, _read_json(node, shared))


def _table(content: Any, shared: dict[int, Any]) -> Table:
    meta, stream = content
    return Table(pa.ipc.open_stream(_bytes(stream)).read_all(), _read_json(meta, shared))


def _bytes(content: str) -> bytes:
    return base64.b64decode(content, validate=True)


_NESTING = {
    "map": lambda pairs, shared: {_read_json(key, shared): _read_json(item, shared) for key, item in pairs},
    "table": _table,
    "shared": _shared,
    "same": lambda place, shared: shared[place],
}
_FORMS = {
    "float": float,
    "nan": lambda content: struct.unpack(">d", bytes.fromhex(content))[0],
    "int": int,
    "text": lambda content: json.loads(f'"{content}"'),
    "bytes": _bytes,
    "buffer": lambda content: Buffer(_bytes(content)),
    "blob": lambda content: read_msgpack(_bytes(content)),
}


# -- section 1: the row --------------------------------------------------------------------------------------


def read_row(row: Any) -> Any:
    """The neutral tree of a row, wherever the value is."""
    if not isinstance(row, dict) or set(row) != {"airflow_xcom"}:
        return row
    envelope = row["airflow_xcom"]
    assert envelope["version"] == 1
    assert len(envelope["of"]) == 5
    if "data" in envelope:
        return read_json(envelope["data"])
    reference = envelope["ref"]
    url = urlsplit(reference["url"])
    assert url.scheme == "file"
    data = Path(unquote(url.path), *reference["path"].split("/")).read_bytes()
    assert len(data) == reference["size"]
    assert reference["digest"] == f"xxh3-128:{xxhash.xxh3_128_hexdigest(data)}"
    return read_blob(data, reference["format"])


# -- section 7: a few tags -----------------------------------------------------------------------------------


def interpret(node: Any) -> Any:
    """The values below a neutral tree, as far as this reader knows their tags."""
    if isinstance(node, list):
        return [interpret(item) for item in node]
    if isinstance(node, dict):
        return {interpret(key): interpret(item) for key, item in node.items()}
    if isinstance(node, Tagged) and node.tag in _TAGS:
        assert node.version == _VERSIONS.get(node.tag, 1)
        return _TAGS[node.tag](node.node)
    return node


def _datetime(node: Any) -> dt.datetime:
    if isinstance(node, str):
        return dt.datetime.fromisoformat(node)
    moment, zone, *fold = node
    zone = ZoneInfo(zone) if isinstance(zone, str) else interpret(zone)
    return dt.datetime.fromisoformat(moment).replace(tzinfo=zone, fold=fold[0] if fold else 0)


def _timezone(node: Any) -> dt.timezone:
    days, seconds, microseconds, *name = node
    return dt.timezone(dt.timedelta(days, seconds, microseconds), *name)


def _array(node: Any) -> np.ndarray:
    dtype, shape, elements, *order = node
    if isinstance(elements, list):
        assert dtype == "|O"
        flat = np.fromiter(map(interpret, elements), object, len(elements))
    else:
        flat = np.frombuffer(elements.data if isinstance(elements, Buffer) else elements, dtype)
    return flat.reshape(shape, order=order[0] if order else "C")


def _frame(node: Table) -> dict[Any, list[Any]]:
    """Column by column under the labels that the fields have, or their places in wide blocks; without the index."""
    index = node.meta.get("index")
    levels = 0 if index is None or "range" in index else len(index.get("levels", [index]))
    columns = node.table.columns[: node.table.num_columns - levels]
    kinds = node.meta.get("kinds", {})
    cells = [_column(column, kinds.get(str(place))) for place, column in enumerate(columns)]
    if "blocks" not in node.meta:
        return dict(zip(node.table.column_names, cells, strict=False))
    return _in_order(node.meta["blocks"], cells)


def _in_order(blocks: list[list[list[int]]], cells: list[list[Any]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for runs, rows in zip(blocks, cells, strict=False):
        held = [first + step * number for first, step, count in runs for number in range(count)]
        found |= zip(held, map(list, zip(*rows, strict=True)), strict=True)
    count = len(found) + len(cells) - len(blocks)
    found |= zip([place for place in range(count) if place not in found], cells[len(blocks) :], strict=True)
    return {place: found[place] for place in range(count)}


def _column(column: pa.ChunkedArray, kind: Any) -> list[Any]:
    cells = column.to_pylist()
    match kind:
        case ["cells", tags]:
            return [interpret(read_tree(cell, [tuple(entry) for entry in tags], [])) for cell in cells]
        case ["geometry", *more]:
            return _geometries(cells, *more)
    return cells


def _sparse(form: str) -> Any:
    """Reads the formats whose entries stand under coordinates, as dense arrays; duplicates add up."""

    def read(node: Any) -> np.ndarray:
        shape, *parts, state = interpret(node)
        assert set(state) <= {"sorted", "canonical", "maxprint"}
        if form == "coo":
            data, places = parts
        elif form == "dok":
            dtype, indices, data = parts
            data, places = np.array(data, dtype), list(np.array(indices, int).reshape(-1, len(shape)).T)
        elif form == "lil":
            dtype, lengths, columns, data = parts
            data, places = np.array(data, dtype), [np.repeat(np.arange(len(lengths)), lengths), columns]
        else:
            data, indices, pointers = parts
            places = [np.repeat(np.arange(len(pointers) - 1), np.diff(pointers)), indices]
            places = places[::-1] if form == "csc" else places
        dense = np.zeros(shape, data.dtype)
        np.add.at(dense, tuple(places), data)
        return dense

    return read


def _variable(node: Any) -> dict[str, Any]:
    dims, data, attrs, encoding = node
    return {
        "dims": interpret(dims),
        "data": interpret(data),
        "attrs": interpret(attrs),
        "encoding": interpret(encoding),
    }


def _data_array(node: Any) -> dict[str, Any]:
    name, variable, coordinates, indexes = node
    found = dict(indexes)
    return {
        "name": name,
        **interpret(variable),
        "coords": {key: _coordinate(item, found.get(key)) for key, item in coordinates},
    }


def _coordinate(node: Any, index: Any) -> Any:
    """The values of a coordinate, which an index of one level may hold."""
    if isinstance(node, Tagged):
        return interpret(node)["data"].tolist()
    kind, dimension, labels, _dtype = index
    assert (kind, labels.tag, isinstance(dimension, str)) == ("PandasIndex", "pandas.Index", True)
    return labels.node.table.column(0).to_pylist()


def _geometry(node: Any) -> Any:
    """A point, line or ring as a pair of its class and its coordinates; parts of collections in their place."""
    if isinstance(node, list) and len(node) == 3:
        return node[0], [_geometry(part) for part in node[2]]
    kind, wkb = node if isinstance(node, list) else (None, node)
    order, code = struct.unpack_from("<BI", wkb)
    assert order == 1
    start = 9 if code & 0x20000000 else 5
    width = 2 + bool(code & 0x80000000) + bool(code & 0x40000000)
    name = {1: "Point", 2: "LineString"}[code & 0x1FFFFFFF]
    floats = np.frombuffer(wkb[start if name == "Point" else start + 4 :], "<f8").reshape(-1, width).tolist()
    empty = kind is None and name == "Point" and all(map(math.isnan, floats[0][:2]))
    return kind or name, [] if empty else floats


def _geometries(cells: list[Any], crs: Any = None, marks: Any = None) -> list[Any]:
    assert crs is None or crs.tag == "pyproj.CRS"
    nodes = list(cells)
    for kind in ("Point", "LinearRing"):
        for place in (marks or {}).get(kind, []):
            nodes[place] = [kind, cells[place]]
    for place, node in (marks or {}).get("others", []):
        nodes[place] = node
    return [node and _geometry(node) for node in nodes]


_VERSIONS = {"pandas.DataFrame": 3, "geopandas.GeoDataFrame": 3}
_TAGS = {
    **{
        f"scipy.sparse.{form}_{kind}": _sparse(form)
        for form in ("csr", "csc", "coo", "lil", "dok")
        for kind in ("array", "matrix")
    },
    "numpy.dtype": np.dtype,
    "xarray.Variable": _variable,
    "xarray.DataArray": _data_array,
    "shapely.geometry": _geometry,
    "geopandas.GeoDataFrame": _frame,
    "tuple": lambda node: tuple(interpret(node)),
    "decimal": Decimal,
    "datetime": _datetime,
    "timezone": _timezone,
    "zoneinfo": ZoneInfo,
    "numpy.ndarray": _array,
    "pandas.DataFrame": _frame,
}
