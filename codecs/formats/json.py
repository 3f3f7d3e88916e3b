"""The JSON syntax of a node, for the database row: readable, and exact in every JSON column.

An object with the single key ``"$"`` is ours: ``{"$": [tag, version, node]}`` is a tagged node, and with two items
it is a form of the syntax itself (docs/FORMAT.md):

========== ============================================================================
form       content
========== ============================================================================
``map``    ``[[key, value], ...]``: a dict whose keys are not plain text, or whose order a JSON column would lose
``float``  the ``repr`` of a float that is not a JSON number, or would not come back as itself
``nan``    the eight bytes of a NaN other than the usual one, in hexadecimal
``int``    the digits of an integer beyond 63 bits and sign
``text``   the inside of an ASCII JSON string literal, for text with U+0000
``bytes``  base64 of a ``bytes`` value
``buffer`` base64 of a buffer
``table``  ``[meta, base64]``: a table as an Arrow IPC stream
``shared`` ``[number, tagged node]``: a node whose object occurs again; read, and written no more
``same``   the number of such a node that came before; read, and written no more
``blob``   base64 of a whole MessagePack body
========== ============================================================================

A row has the node of a table, or one of few natives, in this syntax, and any other value as ``blob``.
"""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from airflow_xcom.codecs.errors import CodecError, CorruptPayloadError
from airflow_xcom.codecs.formats.sharing import TEXT, Budget
from airflow_xcom.codecs.nodes import Table, Tagged
from airflow_xcom.codecs.plain_json import in_jsonb_order, is_exact_float, is_exact_int, is_exact_text
from airflow_xcom.codecs.quoting import described, quoted

MARK = "$"
_TAGGED, _FORM = 3, 2  # items
_CONTAINERS = frozenset({dict, list})  # of JSON
_NAN = struct.pack(">d", float("nan"))
DEEPEST = 100  # levels of JSON; the API server's parser gives up at 200

Json = Any


class TooDeepError(Exception):
    """The node has more levels than the JSON of a row may have."""


def dump(node: Any, depth: int = 0) -> Json:  # noqa: C901, PLR0911 - one for each kind of node
    """Return the JSON value of a node tree made of natives, Tagged, Table and (as memoryviews) buffers.

    A tree of more than :data:`DEEPEST` levels raises TooDeepError.
    """
    if depth > DEEPEST:
        raise TooDeepError
    match node:
        case None | bool():
            return node
        case int():
            return node if is_exact_int(node) else form("int", str(node))
        case float():
            return _dump_float(node)
        case str():
            return node if is_exact_text(node) else form("text", json.dumps(node)[1:-1])
        case bytes():
            return form("bytes", base64(node))
        case memoryview():
            return form("buffer", base64(node))
        case list():
            return [dump(item, depth + 1) for item in node]
        case dict():
            return _dump_dict(node, depth)
        case Tagged():
            return tagged(node.tag, node.version, dump(node.node, depth + 2))
        case Table():
            return form("table", [dump(node.meta, depth + 3), base64(node.table)])
    raise TypeError(f"a {type(node).__name__} is not a node")


def with_maps(node: Any) -> Json:
    """Return the JSON value of natives that JSON keeps exactly, of which only the dicts may need another form."""
    cls = type(node)
    if cls is list:
        return [with_maps(item) if type(item) in _CONTAINERS else item for item in node]
    if cls is not dict:
        return node
    pairs = [[key, with_maps(item) if type(item) in _CONTAINERS else item] for key, item in node.items()]
    return dict(pairs) if in_jsonb_order(node) and all(map(_has_no_meaning, node)) else form("map", pairs)


def form(name: str, content: Json) -> Json:
    """Return a form of the syntax."""
    return {MARK: [name, content]}


def tagged(tag: str, version: int, node: Json) -> Json:
    """Return a tagged node, whose own node is in the syntax."""
    return {MARK: [tag, version, node]}


def base64(data: Any) -> str:
    """Return bytes as base64 text."""
    return b64encode(data).decode("ascii")


def _dump_float(node: float) -> Json:
    if is_exact_float(node):
        return node
    bits = struct.pack(">d", node)
    return form("float", repr(node)) if node == node or bits == _NAN else form("nan", bits.hex())  # noqa: PLR0124


def _dump_dict(node: dict[Any, Any], depth: int) -> Json:
    if all(map(_is_plain_key, node)) and in_jsonb_order(node):
        return {key: dump(item, depth + 1) for key, item in node.items()}
    return form("map", [[dump(key, depth + 4), dump(item, depth + 4)] for key, item in node.items()])


def _is_plain_key(key: Any) -> bool:
    """Return whether a key has no meaning in this syntax or for Airflow's readers, and is exact as JSON."""
    return type(key) is str and _has_no_meaning(key) and is_exact_text(key)


def _has_no_meaning(key: str) -> bool:
    return not key.startswith((MARK, "__"))


class Loader:
    """Reads a JSON value in this syntax.

    Args:
        root: the parsed JSON.
        restorer: ``restorer(tag, version)(node)`` returns the value of a tagged node.
        table: ``table(stream, meta)`` returns the Table of an Arrow IPC stream.
        blob: ``blob(memory)`` returns the value of a MessagePack body.
        budget: of the whole payload.
    """

    __slots__ = ("_blob", "_budget", "_nodes", "_restorer", "_root", "_shared", "_table")

    def __init__(
        self,
        root: Json,
        restorer: Callable[[str, int], Callable[[Any], Any]],
        table: Callable[[memoryview, Any], Any],
        blob: Callable[[memoryview], Any],
        budget: Budget,
    ) -> None:
        self._root, self._restorer, self._table, self._blob, self._budget = root, restorer, table, blob, budget
        self._shared: dict[int, tuple[Any, Json, int]] = {}  # number -> value, its JSON, and nodes that count beside it
        self._nodes: dict[int, int] = {}  # number -> nodes that a further place stands for

    def read(self) -> Any:
        """Return the value.

        Raises:
            DecodeError: The JSON is not in this syntax, or some part of it cannot be restored.
        """
        try:
            return self._load(self._root, 0)
        except (CodecError, MemoryError):
            raise
        except Exception as error:
            raise CorruptPayloadError(f"the payload is damaged: {described(error)}") from error

    def _load(self, value: Json, depth: int) -> Any:
        if depth > 2 * DEEPEST:
            raise CorruptPayloadError(f"the payload is nested deeper than {2 * DEEPEST} levels")
        if type(value) is list:
            return [self._load(item, depth + 1) if type(item) in _CONTAINERS else item for item in value]
        if type(value) is not dict:
            return value
        if MARK not in value:
            return {key: self._load(item, depth + 1) for key, item in value.items()}
        content = value[MARK]
        if len(value) == 1 and type(content) is list and content and type(content[0]) is str:
            if len(content) == _TAGGED and type(content[1]) is int:
                tag, version, node = content
                return self._restorer(tag, version)(self._load(node, depth + 2) if type(node) in _CONTAINERS else node)
            if len(content) == _FORM:
                return self._load_form(content[0], content[1], depth)
        raise CorruptPayloadError(f"an object with the key {MARK!r} is not in the syntax")

    def _load_form(self, name: str, content: Json, depth: int) -> Any:
        if name == "map":
            return {
                self._load(key, depth + 4) if type(key) in _CONTAINERS else key: self._load(item, depth + 4)
                for key, item in content
            }
        if name == "table":
            meta, stream = content
            return self._table(_memory(stream), self._load(meta, depth + 3))
        if name == "shared":
            number, node = content
            return self._keep(number, node, depth + 3)
        if name == "same":
            return self._kept(content)
        if name == "blob":
            return self._blob(_memory(content))
        if name in _LEAVES:
            return _LEAVES[name](content)
        raise CorruptPayloadError(f"the payload has the form {quoted(name)}, which this release does not know")

    def _keep(self, number: Any, node: Json, depth: int) -> Any:
        before = self._budget.spent
        value = self._load(node, depth)
        if type(number) is not int or number in self._shared:
            raise CorruptPayloadError(f"two objects of the payload have the number {quoted(number)}")
        self._shared[number] = value, node, self._budget.spent - before
        return value

    def _kept(self, number: Any) -> Any:
        value, node, beside = self._shared[number]
        if number not in self._nodes:
            self._nodes[number] = _count(node) + beside
        self._budget.spent += self._nodes[number]
        if self._budget.is_exceeded:
            self._budget.grant(_size(self._root))
            self._root = None
            self._budget.check()
        return value


def _count(value: Json) -> int:
    """Return the number of nodes of a JSON value, in which each buffer, table and further place is one."""
    match value:
        case str():
            below = len(value) // TEXT
        case {"$": ["text" | "bytes", str(text)]}:
            below = len(text) // (6 * TEXT)  # each character may take six
        case {"$": ["blob", str(text)]}:
            below = len(text)
        case _:
            below = sum(map(_count, _parts(value)))
    return 1 + below


def _parts(value: Json) -> Iterable[Json]:
    match value:
        case list():
            return value
        case {"$": [str(), int(), node]}:
            return (node,)
        case {"$": ["map", list(pairs)]}:
            return chain.from_iterable(pairs)
        case {"$": ["shared", [_, tagged]]}:
            return _parts(tagged)
        case dict() if MARK not in value:
            return chain(value, value.values())
    return ()


def _size(value: Json) -> int:
    """Return the bytes that a JSON value would take as MessagePack, at least."""
    if type(value) is list:
        return 9 + sum(map(_size, value))
    if type(value) is dict:
        return 9 + sum(_size(key) + _size(item) for key, item in value.items())
    return 9 + (len(value.encode("utf-8", "surrogatepass")) if type(value) is str else 0)


def _memory(text: str) -> memoryview:
    """Return the bytes of base64 text in writable memory."""
    return memoryview(bytearray(b64decode(text, validate=True)))


_LEAVES: dict[str, Callable[[str], Any]] = {
    "float": float,
    "nan": lambda content: struct.unpack(">d", bytes.fromhex(content))[0],
    "int": int,
    "text": lambda content: json.loads(f'"{content}"'),
    "bytes": lambda content: b64decode(content, validate=True),
    "buffer": _memory,
}
