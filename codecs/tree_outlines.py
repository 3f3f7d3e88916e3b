"""Outlines of trees in both syntaxes, as JSON for people: the first items at each level."""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Sequence
from itertools import islice
from typing import Any

from airflow_xcom.codecs.errors import CorruptPayloadError
from airflow_xcom.codecs.formats.msgpack import extension_types as types
from airflow_xcom.codecs.formats.msgpack.scanner import Scanner, TooFarError
from airflow_xcom.codecs.tables.outline import outline_stream, shorten

MAX_ITEMS = 8  # of a list or dict that are shown
_MAX_DEPTH = 12  # levels that are shown
_MAX_NODES = 200  # that are shown
_MAX_TEXT = 800  # bytes of a text that are read
_UNREAD = {"type": "unread"}  # in place of what would take too much reading

Outline = dict[str, Any]


class _Limit:
    """Counts the nodes that are shown."""

    def __init__(self) -> None:
        self._remaining = _MAX_NODES

    def is_reached(self, depth: int) -> bool:
        self._remaining -= 1
        return self._remaining < 0 or depth > _MAX_DEPTH


def _native(value: Any) -> Outline:
    if type(value) is str:
        return {"type": "str", "value": shorten(value)}
    if type(value) is float and not math.isfinite(value):
        return {"type": "float", "value": repr(value)}
    return {"type": "null" if value is None else type(value).__name__, "value": value}


def list_outline(items: list[Outline], length: int) -> Outline:
    return {"type": "list", "length": length, "items": items}


def _dict(pairs: list[list[Outline]], length: int) -> Outline:
    return {"type": "dict", "length": length, "items": pairs}


def _tagged(tag: str, version: int, node: Outline) -> Outline:
    return {"type": "tagged", "tag": tag, "version": version, "node": node}


def _table(stream: bytes) -> Outline:
    facts = outline_stream(stream, 0)
    return {"type": "table", "bytes": len(stream), "rows": facts["rows"], "columns": facts["columns"]}


# -- JSON ----------------------------------------------------------------------------------------------------


class JsonTree:
    """Outlines a value in the JSON syntax."""

    def __init__(self) -> None:
        self._limit = _Limit()

    def node(self, value: Any, depth: int = 0) -> Outline:
        if self._limit.is_reached(depth):
            return _UNREAD
        if type(value) is list:
            return list_outline([self.node(item, depth + 1) for item in value[:MAX_ITEMS]], len(value))
        if type(value) is not dict:
            return _native(value)
        match value:
            case {"$": [str(tag), int(version), node], **rest} if not rest:
                return _tagged(tag, version, self.node(node, depth + 1))
            case {"$": [str(form), content], **rest} if not rest:
                return self._form(form, content, depth + 1)
        return self._dict(list(islice(value.items(), MAX_ITEMS)), len(value), depth)

    def _dict(self, pairs: Sequence[Any], length: int, depth: int) -> Outline:
        return _dict([[self.node(key, depth + 1), self.node(item, depth + 1)] for key, item in pairs], length)

    def _form(self, form: str, content: Any, depth: int) -> Outline:
        if form == "map":
            return self._dict(content[:MAX_ITEMS], len(content), depth)
        if form == "table":
            return _table(b64decode(content[1]))
        if form == "shared":
            return {"type": "shared", "place": content[0], "node": self.node(content[1], depth)}
        if form == "same":
            return {"type": "same", "place": content}
        if form in {"bytes", "buffer"}:
            return {"type": form, "bytes": len(b64decode(content))}
        return {"type": _JSON_FORMS.get(form, form), "value": shorten(str(content))}


_JSON_FORMS = {"float": "float", "nan": "float", "int": "int", "text": "str"}


# -- MessagePack ---------------------------------------------------------------------------------------------


class MsgpackTree:
    """Outlines packed nodes without unpacking them; a node is known by its position."""

    def __init__(self, scanner: Scanner, tags: Any, buffers: list[Outline]) -> None:
        if not all(type(tag) is str and type(version) is int for tag, version in tags):
            raise CorruptPayloadError("the table of tags is damaged")
        self._scanner = scanner
        self._tags: list[tuple[str, int]] = [(tag, version) for tag, version in tags]
        self._buffers = buffers
        self._limit = _Limit()

    def node(self, position: int, depth: int = 0) -> Outline:
        if self._limit.is_reached(depth):
            return _UNREAD
        try:
            return self._node(position, depth)
        except TooFarError:
            return _UNREAD

    def _node(self, position: int, depth: int) -> Outline:
        kind, size, start = self._scanner.head(position)
        if kind == "array":
            return list_outline(self._items(start, min(size, MAX_ITEMS), depth), size)
        if kind == "map":
            flat = self._items(start, 2 * min(size, MAX_ITEMS), depth)
            return _dict([list(pair) for pair in zip(flat[::2], flat[1::2], strict=False)], size)
        if kind == "ext":
            return self._extension(self._scanner.byte(start - 1), start, size, depth + 1)
        if kind == "bytes":
            return {"type": "bytes", "bytes": size}
        if kind == "str":
            text = self._scanner.read(start, start + min(size, _MAX_TEXT)).decode(errors="replace")
            return _native(text if size <= _MAX_TEXT else text + "…")
        return _native(self._scanner.scalar(position))

    def _items(self, position: int, count: int, depth: int) -> list[Outline]:
        nodes: list[Outline] = []
        for number in range(count):
            try:
                position = self._scanner.skip(position) if number else position
            except TooFarError:
                break
            nodes.append(self.node(position, depth + 1))
        return nodes

    def _extension(self, code: int, start: int, size: int, depth: int) -> Outline:
        if code >= types.FIRST_TAG:
            return _tagged(*self._tags[code - types.FIRST_TAG], self.node(start, depth))
        if code == types.INLINE_BUFFER:
            return {"type": "buffer", "bytes": size}
        if code == types.BUFFER:
            facts = self._buffers[self._scanner.scalar(start)]
            return {"type": "buffer", **{name: fact for name, fact in facts.items() if name != "columns"}}
        if code == types.SAME:
            return {"type": "same", "place": self._scanner.scalar(start)}
        return self._form(code, self._scanner.items(start), depth)

    def _form(self, code: int, parts: list[int], depth: int) -> Outline:
        if code == types.TABLE:
            return self._table(parts[1])
        if code == types.FAR_TAG:
            return _tagged(*self._tag(parts[0]), self.node(parts[1], depth))
        if code == types.SHARED:
            node = _tagged(*self._tag(parts[1]), self.node(parts[2], depth))
            return {"type": "shared", "place": self._scanner.scalar(parts[0]), "node": node}
        if code == types.RECORDS:
            return self._records(parts, depth)
        if code == types.TAGGED_LIST:
            return self._taggedlist_outline(parts, depth)
        if code == types.TAGGED_COLUMNS:
            return self._tagged_columns(parts, depth)
        raise CorruptPayloadError(f"the payload has an extension type {code}")

    def _tag(self, position: int) -> tuple[str, int]:
        tag, version = self._tags[self._scanner.scalar(position)]
        return tag, version

    def _table(self, position: int) -> Outline:
        _, size, start = self._scanner.head(position)
        if self._scanner.byte(start - 1) == types.BUFFER:
            return {"type": "table", **self._buffers[self._scanner.scalar(start)]}
        return _table(self._scanner.read(start, start + size))

    def _records(self, parts: list[int], depth: int) -> Outline:
        """Outline dicts with the same keys, as many as values in the first column."""
        nodes = [self.node(part, depth) for part in parts]
        facts: Outline = {"type": "records", **dict(zip(("names", "keys", "columns"), nodes, strict=False))}
        for column in facts.get("columns", _UNREAD).get("items", [])[:1]:
            facts["length"] = column.get("length")
        return facts

    def _tagged_columns(self, parts: list[int], depth: int) -> Outline:
        """Outline a list of nodes that are written part by part, and of nulls, as if each was written by itself."""
        head, names, columns = (self.node(part, depth + 2) for part in parts[1:4])
        nulls = self._scanner.head(parts[4])[1] if len(parts) > 4 else 0  # noqa: PLR2004 - the fifth part
        shown = [column.get("items", []) for column in columns.get("items", [])]
        items = []
        for row in zip(*shown, strict=False):
            node = list_outline(list(row), columns["length"])
            if "items" in names:
                node = _dict([[name, item] for name, item in zip(names["items"], row, strict=False)], names["length"])
            if head["type"] == "str":
                node = list_outline([head, node], 2)
            items.append(_tagged(*self._tag(parts[0]), node))
        length = columns["items"][0].get("length", 0) if columns.get("items") else 0
        return {**list_outline(items, length + nulls), "nulls": nulls}

    def _taggedlist_outline(self, parts: list[int], depth: int) -> Outline:
        """Outline a list of nodes of one tag, and of nulls."""
        nodes = self.node(parts[1], depth)
        nulls = self._scanner.head(parts[2])[1] if len(parts) > 2 else 0  # noqa: PLR2004 - index, nodes, nulls
        items = [_tagged(*self._tag(parts[0]), node) for node in nodes.get("items", [])]
        return {**list_outline(items, nodes.get("length", 0) + nulls), "nulls": nulls}
