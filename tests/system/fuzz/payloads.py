"""Mutants of payloads that are still payloads: headers, sizes, base64 and Arrow framing stay consistent.

A mutant whose header is broken is refused at once; these reach the codecs.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from fnmatch import fnmatch
from functools import cache, lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgpack
import numpy as np
import pyarrow as pa
import test_models
import xxhash
from trees import Extension, Pairs, Tree, harvest, mutate_bytes, mutate_tree

from airflow_xcom.codecs import encode
from airflow_xcom.codecs.formats.arrow.flatbuffers import inflated_size

__all__ = ["MUTATORS", "all_payloads", "corpus"]

GOLDEN = Path(__file__).parents[2] / "data" / "golden" / "v1"
CHOSEN = os.environ.get("FUZZ_PAYLOADS", "*")  # of their names
_ITEMS = 3  # the version of a list with an index
_MOST = 1 << 20  # bytes of a table that is rewritten
_FEW = 1000  # rows that may be copied, or be a record batch each
_BINARY = ("msgpack", "arrow")
_PLAIN = 0.15  # of mutants are made without heed to what they are
_AFRESH = (
    0.4  # of mutants are made from a golden payload: most of what libFuzzer keeps is what was refused in a new way
)
# Values that are small and stand for much.
_BOMBS = (
    ["range", 1, [0, 10**12, 1]],
    ["pandas.Index", 1, {"range": [0, 10**12, 1]}],
    ["ipaddress", 1, ["IPv6Network", "::/0"]],
    ["deque", 1, [2**62, []]],
    ["decimal", 1, "1E+999999999"],
    ["numpy.ndarray", 1, ["<U0", [2**40], {"$": ["bytes", ""]}]],
    ["numpy.dtype", 1, "<U500000000"],
)


# -- MessagePack ---------------------------------------------------------------------------------------------


def _unpack(data: bytes) -> Tree:
    def extension(code: int, inner: bytes) -> Tree:
        try:
            return Extension(code, _unpack(inner)) if code else Extension(code, inner)
        except Exception:  # noqa: BLE001 - bytes that are no packed node
            return Extension(code, inner)

    return msgpack.unpackb(
        data, strict_map_key=False, ext_hook=extension, object_pairs_hook=lambda pairs: Pairs(map(list, pairs))
    )


def _pack(tree: Tree) -> bytes:
    return msgpack.packb(_packable(tree), unicode_errors="surrogatepass")


def _packable(tree: Tree) -> Any:
    if isinstance(tree, Extension):
        inner = tree.content if isinstance(tree.content, bytes) and not tree.code else _pack(tree.content)
        return msgpack.ExtType(tree.code, inner)
    if isinstance(tree, Pairs):
        return _Map((_packable(pair[0]), _packable(pair[-1])) for pair in tree if isinstance(pair, list) and pair)
    if isinstance(tree, dict):
        return _Map((_packable(key), _packable(item)) for key, item in tree.items())
    if isinstance(tree, list):
        return [_packable(item) for item in tree]
    return tree


class _Map(dict[Any, Any]):
    """A map for the packer, which may have a key twice, or one that is no key."""

    def __init__(self, pairs: Any) -> None:
        super().__init__()
        self._pairs = list(pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def items(self) -> Any:
        return self._pairs


class _Blob(NamedTuple):
    """A blob, taken apart; ``counts`` has the number of buffers of each item of a list with an index."""

    tags: list[Any]
    tree: Tree
    buffers: list[bytes]
    counts: list[int] | None = None


def _open(blob: bytes) -> _Blob:
    unpacker = msgpack.Unpacker(max_buffer_size=1 << 24, strict_map_key=False)
    unpacker.feed(blob)
    _, version, tags, *entries = unpacker.unpack()
    start = unpacker.tell()
    if version != _ITEMS:
        tree, buffers = _open_parts(blob[start:], *entries)
        return _Blob(tags, tree, buffers)
    trees, buffers = [], []
    for sizes, size, _ in entries[0]:
        start += -start % 64
        tree, more = _open_parts(blob[start:], sizes, size)
        trees.append(tree)
        buffers += more
        start += len(_parts(_pack(tree), more))
    return _Blob(tags, trees, buffers, [len(sizes) for sizes, *_ in entries[0]])


def _open_parts(data: bytes, sizes: list[int], size: int) -> tuple[Tree, list[bytes]]:
    """The tree and the buffers that ``data`` begins with."""
    tree, rest = _unpack(data[:size]), data[size:]
    buffers = []
    for length in sizes:
        place = rest.index(b"\xc6") + 5
        buffers.append(rest[place : place + length])
        rest = rest[place + length :]
    return tree, buffers


def _parts(head: bytes, buffers: list[bytes]) -> bytes:
    for buffer in buffers:
        head += b"\xc0" * (-(len(head) + 5) % 64) + b"\xc6" + len(buffer).to_bytes(4, "big") + buffer
    return head


def _close(tags: list[Any], tree: Tree, buffers: list[bytes], counts: list[int] | None = None) -> bytes:
    if counts is not None and isinstance(tree, list):
        return _close_items(tags, tree, buffers, counts)
    packed = _pack(tree)
    head = msgpack.packb(["airflow_xcom", 1, tags, [len(buffer) for buffer in buffers], len(packed)])
    return _parts(head + packed, buffers)


def _close_items(tags: list[Any], trees: list[Tree], buffers: list[bytes], counts: list[int]) -> bytes:
    """A list with an index, in which the items have as many buffers as before, and the last one has the rest."""
    entries, items = [], []
    for place, tree in enumerate(trees):
        taken = len(buffers) if place == len(trees) - 1 else (counts[place] if place < len(counts) else 0)
        ours, buffers = buffers[:taken], buffers[taken:]
        packed = _pack(tree)
        items.append(_parts(packed, ours))
        entries.append([[len(buffer) for buffer in ours], len(packed), xxhash.xxh3_128_digest(items[-1])])
    blob = msgpack.packb(["airflow_xcom", _ITEMS, tags, entries])
    for item in items:
        blob += b"\xc0" * (-len(blob) % 64) + item
    return blob


def _mutate_msgpack(blob: bytes, random: Random) -> bytes:
    tags, tree, buffers, counts = _open(blob)
    choice = random.random()
    if choice < 0.15:
        known = [*map(list, _tags()), *tags]
        place = random.randrange(len(tags) + 1)
        tags[place : place + 1] = [random.choice(known)]
    elif choice < 0.2:
        tags = mutate_tree(tags, random, [], lambda _node: None)
    elif choice < 0.35 and buffers:
        place = random.randrange(len(buffers))
        buffers[place] = _mutate_leaf(buffers[place], random) or mutate_bytes(buffers[place], random)
    elif choice < 0.5:  # a subtree of another payload, with the tags that it needs
        other, graft, *_ = random.choice(_golden_blobs())
        shift = len(tags)
        tags = [*tags, *other]
        pool = (
            [_shifted(part, shift) for part in random.sample(parts, min(3, len(parts)))]
            if (parts := harvest(graft))
            else []
        )
        tree = mutate_tree(tree, random, [*pool, _shifted(graft, shift)], partial(_mutate_leaf, random=random))
    else:
        tree = mutate_tree(tree, random, [], partial(_mutate_leaf, random=random))
    return _close(tags, tree, buffers, counts)


def _shifted(tree: Tree, by: int) -> Tree:
    """A tree whose tags stand further on in the table."""
    if isinstance(tree, Extension):
        far = tree.code >= 16
        return Extension(min(tree.code + by, 127) if far else tree.code, _shifted(tree.content, by))
    if isinstance(tree, Pairs):
        return Pairs([_shifted(part, by) for part in pair] if isinstance(pair, list) else pair for pair in tree)
    return [_shifted(item, by) for item in tree] if isinstance(tree, list) else tree


def _mutate_leaf(node: Tree, random: Random) -> Tree | None:
    """A change to bytes or text that knows what is in them: a table, or JSON."""
    if isinstance(node, bytes) and node[:4] == b"\xff" * 4:
        return _mutate_table(node, random)
    return _mutate_json_text(node, random)


def _mutate_json_text(node: Tree, random: Random) -> Tree | None:
    """A change within JSON that stands as text, as the schema of a model does, with parts of other such texts."""
    if not isinstance(node, str) or node[:1] != "{":
        return None
    try:
        tree = json.loads(node)
    except ValueError:
        return None
    return json.dumps(mutate_tree(tree, random, _golden_schemas(), lambda _node: None))


@cache
def _golden_schemas() -> list[Tree]:
    texts = [part for blob in _golden_blobs() for part in harvest(blob.tree) if isinstance(part, str)]
    return [part for text in texts if text[:2] == '{"' for part in harvest(json.loads(text))]


@cache
def _golden_blobs() -> list[_Blob]:
    contents = (Pairs([["range", [0, 10**12, 1]]]) if isinstance(bomb[2], dict) else bomb[2] for bomb in _BOMBS[:-2])
    bombs = [_Blob([bomb[:2]], Extension(16, content), []) for bomb, content in zip(_BOMBS, contents, strict=False)]
    return [*map(_open, corpus("msgpack").values()), *bombs * 3]


@cache
def _tags() -> tuple[tuple[str, int], ...]:
    return tuple(sorted({(tag, version) for blob in _golden_blobs() for tag, version in blob.tags}))


# -- Arrow ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _columns(count: int) -> list[Any]:
    """A column of ``count`` rows of every kind that Arrow has."""
    numbers = np.arange(count)
    text = pa.array([f"text {number}" * (number % 5) for number in range(count)])
    ends = pa.array([count], pa.int32())
    fields = [pa.array(numbers), text]
    views = pa.array([b"x" * 20 for _ in range(count)], pa.binary_view())
    columns = [
        *(pa.array(numbers % 7, code) for code in ("int8", "uint8", "int16", "uint32", "int64", "float32", "float64")),
        *(pa.array(numbers, f"{kind}[{unit}]") for kind in ("timestamp", "duration") for unit in ("s", "ns")),
        *(pa.array(numbers, pa.timestamp("us", zone)) for zone in ("UTC", "Nowhere/At-all")),
        *(pa.array(numbers.astype("i4"), kind) for kind in (pa.date32(), pa.time32("s"))),
        *(pa.array(numbers % 3 == 0, mask=numbers % 5 == 0), pa.nulls(count), pa.nulls(count, pa.struct([]))),
        *(text, text.cast(pa.large_string()), text.cast(pa.large_binary()), text.cast(pa.string_view()), views),
        *(text.dictionary_encode(), text.cast(pa.large_string()).dictionary_encode()),
        *(pa.array([b""] * count, pa.binary(0)), pa.array([b"x" * 16] * count, pa.binary(16))),
        *(
            pa.array([[1], []] * count, pa.list_(pa.int64()))[:count],
            pa.array([[1, None]] * count, pa.list_(pa.int8(), 2)),
        ),
        *(
            pa.array([[]] * count, pa.list_(pa.int8(), 0)),
            pa.array([[(1, "a")]] * count, pa.map_(pa.int8(), pa.string())),
        ),
        *(
            pa.array([["a"]] * count, pa.large_list(pa.large_string())),
            pa.array([[2]] * count, pa.list_view(pa.int8())),
        ),
        *(pa.StructArray.from_arrays(fields, ["left", "right"]), pa.RunEndEncodedArray.from_arrays(ends, [1])),
        pa.array([None if number % 4 else 1 for number in range(count)], pa.decimal128(38, 10)),
        pa.array([1] * count, pa.decimal256(60, 0)),
        pa.UnionArray.from_sparse(pa.array(numbers % 2, pa.int8()), fields),
        pa.UnionArray.from_dense(pa.array(numbers * 0, pa.int8()), pa.array(numbers, pa.int32()), fields),
    ]
    return [column for column in columns if len(column) == count]


def _read_table(data: bytes) -> Any:
    is_file = data[:6] == b"ARROW1"
    open_table = pa.ipc.open_file if is_file else pa.ipc.open_stream
    if inflated_size(memoryview(data), is_file=is_file) > _MOST:
        raise ValueError("a mutant of a bomb would take the mutator's own memory")
    table = open_table(data).read_all()
    table.validate(full=True)
    return table


def _write_table(table: Any, random: Random, *, file: bool) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=random.choice((None, None, None, "lz4", "zstd")))
    with (pa.ipc.new_file if file else pa.ipc.new_stream)(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=random.choice((None, None, 1)) if table.num_rows < _FEW else None)
    return sink.getvalue().to_pybytes()


def _mutate_table(data: bytes, random: Random) -> bytes:
    """An Arrow file or stream with other numbers in its metadata, or with other columns."""
    is_file = data[:6] == b"ARROW1"
    if random.random() < 0.5:
        return mutate_bytes(data, random)
    table = _read_table(data)
    if is_file and random.random() < 0.6:
        note = json.loads(table.schema.metadata[b"airflow_xcom"])
        pool = _golden_notes()
        note = mutate_tree(note, random, pool, partial(_mutate_json_leaf, random=random))
        table = table.replace_schema_metadata({"airflow_xcom": json.dumps(note)})
    else:
        table = _with_other_columns(table, random)
    data = _write_table(table, random, file=is_file)
    return mutate_bytes(data, random) if random.random() < 0.2 else data


def _with_other_columns(table: Any, random: Random) -> Any:
    count, width = table.num_rows, table.num_columns
    match random.randrange(5):
        case 0 if width:
            return table.remove_column(random.randrange(width))
        case 1:
            return table.slice(random.randint(0, count), random.randint(0, count))
        case 2 if width:
            return table.append_column("again", table.column(random.randrange(width)))
        case 3 if width == 1:  # as many rows as one likes
            rows = random.choice((0, 1, 3, 100, 10**6, 10**9, 10**12))
            few = random.choice((pa.nulls, lambda rows: pa.nulls(min(rows, 10**4), pa.struct([])), _long_run))
            return pa.table([few(rows)], schema=None, names=table.column_names).replace_schema_metadata(
                table.schema.metadata
            )
    column = random.choice(_columns(count)) if count < _FEW else pa.nulls(count)
    if not width or random.random() < 0.2:
        return table.append_column(random.choice(("new", "")), column)
    place = random.randrange(width)
    return table.set_column(place, table.column_names[place], column)


def _long_run(rows: int) -> Any:
    return pa.RunEndEncodedArray.from_arrays(pa.array([max(rows, 1)], pa.int64()), [1])


@cache
def _golden_notes() -> list[Tree]:
    notes = []
    for path in sorted(GOLDEN.glob("*.arrow")):
        note = json.loads(pa.ipc.open_file(path.read_bytes()).schema.metadata[b"airflow_xcom"])
        notes += [note["tag"], *harvest(note["meta"])]
    return notes


# -- JSON ----------------------------------------------------------------------------------------------------


def _mutate_json(data: bytes, random: Random) -> bytes:
    tree = mutate_tree(json.loads(data), random, _golden_rows(), partial(_mutate_json_leaf, random=random))
    return _json(tree)


def _json(tree: Tree) -> bytes:
    return json.dumps(tree, default=str).encode("utf-8", "surrogatepass")


def _mutate_json_leaf(node: Tree, random: Random) -> Tree | None:
    """A change to what stands in base64."""
    match node:
        case {"$": ["table", [meta, str(text)]]}:
            return {"$": ["table", [meta, _again(text, random, _mutate_table)]]}
        case {"$": ["blob", str(text)]}:
            return {"$": ["blob", _again(text, random, _mutate_msgpack)]}
        case {"$": ["bytes" | "buffer" as form, str(text)]}:
            return {"$": [form, _again(text, random, mutate_bytes)]}
    return _mutate_json_text(node, random)


def _again(text: str, random: Random, mutate: Callable[[bytes, Random], bytes]) -> str:
    try:
        return b64encode(mutate(b64decode(text), random)).decode()
    except Exception:  # noqa: BLE001 - neither is every text base64
        return text[:-4]


@cache
def _golden_rows() -> list[Tree]:
    rows = [json.loads(path.read_text())["data"] for path in sorted(GOLDEN.glob("*.json"))]
    bombs = [{"$": bomb} for bomb in _BOMBS] * 8
    return [*rows, *bombs, *(part for row in rows for part in harvest(row) if isinstance(part, dict))]


# -- the row of the backend ----------------------------------------------------------------------------------


def _mutate_envelope(data: bytes, random: Random) -> bytes:
    row = json.loads(data)
    content = row.get("airflow_xcom")
    if isinstance(content, dict) and random.random() < 0.5:
        part = random.choice([key for key in ("data", "ref", "of", "summary") if key in content] or [""])
        if part and isinstance(content[part], dict | list):
            content[part] = mutate_tree(
                content[part], random, _golden_rows(), partial(_mutate_json_leaf, random=random)
            )
            return _json(row)
    content = mutate_tree(content, random, _golden_rows(), partial(_mutate_json_leaf, random=random))
    return _json({"airflow_xcom": content})


# -- all -----------------------------------------------------------------------------------------------------

MUTATORS: dict[str, Callable[[bytes, Random], bytes]] = {
    "msgpack": _mutate_msgpack,
    "arrow": _mutate_table,
    "json": _mutate_json,
    "envelope": _mutate_envelope,
}


@cache
def corpus(target: str) -> dict[str, bytes]:
    """The golden payloads, and models, as inputs of a target, by name; those that ``FUZZ_PAYLOADS`` chooses."""
    found = {name: data for name, data in all_payloads(target).items() if fnmatch(name, CHOSEN)}
    if not found:
        raise ValueError(f"no payload of {target} is called {CHOSEN}")
    return found


def all_payloads(target: str) -> dict[str, bytes]:
    if target in _BINARY:
        blobs = {path.stem: path.read_bytes() for path in sorted(GOLDEN.glob(f"*.{target}"))}
        models = {name: payload.to_bytes() for name, payload in _models().items() if payload.format == target}
        return blobs | models | (_lists(blobs) if target == "msgpack" else {})
    rows = {path.stem: json.loads(path.read_text())["data"] for path in sorted(GOLDEN.glob("*.json"))}
    return {name: _json(row) for name, row in (rows | {n: p.to_json() for n, p in _models().items()}).items()}


@cache
def _models() -> dict[str, Any]:
    """Models, of which the golden payloads have one for each codec."""
    return {f"model {name}": encode(make()) for name, make in test_models.MADE.items()}


def _lists(blobs: dict[str, bytes]) -> dict[str, bytes]:
    """Lists with an index, which the writer makes of large items alone, of some payloads and two items more."""
    opened = {name: _open(blob) for name, blob in list(blobs.items())[::4]}
    return {
        f"list of {name}": _close_items(tags, [0, tree, "x"], buffers, [0, len(buffers)])
        for name, (tags, tree, buffers, _) in opened.items()
    }


def mutated(target: str, data: bytes, random: Random) -> bytes:
    """A mutant, which has what its kind of payload needs unless ``data`` had not."""
    if target in _BINARY and random.random() < _PLAIN:
        return mutate_bytes(data, random)
    if random.random() < _AFRESH:
        data = random.choice(list(corpus(target).values()))
    try:
        return MUTATORS[target](data, random)
    except Exception:  # noqa: BLE001 - what was mutated before need not be a payload any more
        return mutate_bytes(data, random) if target in _BINARY else random.choice(list(corpus(target).values()))
