"""The node algebra: what the output of every codec is made of.

::

    node := None | bool | int (64-bit) | float | str | bytes | list[node] | dict[node, node]
          | Buffer | Table | Tagged(tag, version, node)

A codec's ``encode`` may also return any value that some codec knows, at any depth; the bodies encode it in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Tags = Sequence[Sequence[str | int]]  # [tag, version] of each
PackCells = Callable[[Sequence[Any], set[type]], tuple[Tags, list[bytes]]]
UnpackCells = Callable[[Tags, memoryview, Any], list[Any]]

# Plain classes, as a payload may hold a million of these, and a data class takes two milliseconds to be made.


class Buffer:
    """Raw memory, handed to the payload without a copy.

    ``data`` is any C-contiguous bytes-like object.  On the way back a codec receives a **writable**
    ``memoryview`` of format ``"B"`` in its place, 64-byte aligned when it came from a blob.
    """

    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        self.data = data


class Table:
    """A columnar leaf: an Arrow table and what is needed to rebuild the value from it.

    Attributes:
        table: the columns, in the order a reader of the plain Arrow file should see them.
        meta: a node; everything that Arrow cannot say.
        memory: on the way back only: the writable memory that the columns lie in, as a flat ``memoryview``.
        more: on the way out only: further rows, as tables of the same schema that are made as they are taken.
        unpack_cells: on the way back only: ``unpack_cells(tags, data, offsets)`` returns the objects that
            :class:`WithCells` packed.
    """

    __slots__ = ("memory", "meta", "more", "table", "unpack_cells")

    def __init__(
        self,
        table: pa.Table,
        meta: Any,
        memory: memoryview | None = None,
        more: Iterator[pa.Table] | None = None,
        unpack_cells: UnpackCells | None = None,
    ) -> None:
        self.table = table
        self.meta = meta
        self.memory = memory
        self.more = more
        self.unpack_cells = unpack_cells

    def whole(self) -> Table:
        """Return the same table with all its rows in memory."""
        if self.more is None:
            return self
        import pyarrow as pa

        return Table(pa.concat_tables([self.table, *self.more]), self.meta)


class WithCells:
    """A node that holds objects as packed bytes, such as the cells of a column; the writer calls ``make`` for it.

    ``make(pack)`` returns the node.  ``pack(values, classes)`` packs each value, of one of these classes, as a
    MessagePack document of its own; it returns the table of tags that they share, and the bytes of each.
    """

    __slots__ = ("make",)

    def __init__(self, make: Callable[[PackCells], Any]) -> None:
        self.make = make


def with_cells(encode: Callable[[Any, PackCells], Any]) -> Callable[[Any], WithCells]:
    """Return the ``encode`` of a codec that needs to pack cells: it calls ``encode(value, pack)``."""
    return lambda value: WithCells(lambda pack: encode(value, pack))


class Columns:
    """The nodes of many values of one kind, part by part.

    Each node is a list of a value's parts; or with ``names`` a dict of them; or with ``head`` too ``[head, dict]``.

    Attributes:
        head: text that all nodes have, the name of a class say.
        names: of the columns.
        columns: the parts of all values in turn; at least one column, and all equally long.
    """

    __slots__ = ("columns", "head", "names")

    def __init__(
        self, columns: Sequence[list[Any]], names: Sequence[str] | None = None, head: str | None = None
    ) -> None:
        self.columns = columns
        self.names = names
        self.head = head

    def __len__(self) -> int:
        return len(self.columns[0])

    def nodes(self) -> list[Any]:
        """Return the nodes, one for each value."""
        rows = zip(*self.columns, strict=True)
        if self.names is None:
            return list(map(list, rows))
        dicts = [dict(zip(self.names, row, strict=True)) for row in rows]
        return dicts if self.head is None else [[self.head, parts] for parts in dicts]


class Tagged:
    """A node that a codec wrote, under the codec's tag and version."""

    __slots__ = ("node", "tag", "version")

    def __init__(self, tag: str, version: int, node: Any) -> None:
        self.tag = tag
        self.version = version
        self.node = node


def _exactly(cls: type, name: str) -> Callable[[Any], Any]:
    def check(node: Any) -> Any:
        if type(node) is not cls:
            raise TypeError(f"a {type(node).__name__} stands where {name} should")
        return node

    return check


# Each returns a node if it is exactly of one type, or raises TypeError.  What behaves alike could keep a reader
# of a forged payload busy for ever: a long range is gone through, also to look for a key; to make an int of the decimal
# 1E+999999999 takes hours; an index of pandas compares all of its labels with a text.
as_list: Callable[[Any], list[Any]] = _exactly(list, "a list")
as_dict: Callable[[Any], dict[Any, Any]] = _exactly(dict, "a dict")
as_int: Callable[[Any], int] = _exactly(int, "an int")
as_text: Callable[[Any], Any] = _exactly(str, "text")
