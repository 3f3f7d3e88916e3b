"""Bounds what is written once and stands for many nodes.

Whoever hashes, compares or prints a value pays for a node in every place where it stands, and nodes shared within
shared nodes double with each level: 2 KB could stand for 2**60 nodes.  So each further place counts as many nodes as
it stands for, and a payload may have only so many; docs/FORMAT.md, section 8.
"""

from __future__ import annotations

from collections.abc import Hashable

from airflow_xcom.codecs.errors import CorruptPayloadError

LEAST = 4_000_000  # nodes
FACTOR = 32  # nodes for each byte
_MOST_KEPT = 512  # values that take long to make, which are not made again meanwhile: re keeps as many patterns
TEXT = 64  # characters or bytes of text that count as one more node


def is_exceeded(nodes: int, size: float) -> bool:
    """Return whether ``nodes`` are more than what ``size`` bytes may stand for."""
    return nodes > max(LEAST, FACTOR * size)


class Budget:
    """What all parts of one payload stand for together.

    Attributes:
        spent: the nodes that further places stood for so far.
        cost: the nodes that values counted for which take long to make.
    """

    __slots__ = ("_made", "_size", "cost", "spent")

    def __init__(self, size: float = 0) -> None:
        self._size = size
        self.spent = self.cost = 0
        self._made: set[Hashable] = set()

    def grant(self, size: int) -> None:
        """Add bytes that were read."""
        self._size += size

    @property
    def is_exceeded(self) -> bool:
        """Whether more was spent than the bytes allow."""
        return is_exceeded(self.spent, self._size)

    def check(self) -> None:
        """Raise CorruptPayloadError if more was spent than the bytes allow."""
        if self.is_exceeded:
            raise CorruptPayloadError(
                f"what the payload shares stands for more than {LEAST:,} nodes, and for more than {FACTOR} for each of "
                "its bytes; no release writes such a payload"
            )

    def add_cost(self, key: Hashable, nodes: int) -> None:
        """Count a value that takes long to make, unless one of this key was made a short while ago."""
        if key in self._made:
            return
        if len(self._made) >= _MOST_KEPT:
            self._made.clear()
        self._made.add(key)
        self.cost += nodes

    def charge(self, key: Hashable, nodes: int) -> None:
        """Count as :meth:`add_cost`; raise CorruptPayloadError for more than any payload may have, large or small."""
        self.add_cost(key, nodes)
        if self.cost > LEAST:
            raise CorruptPayloadError("what is in the payload takes too long to make; no release writes such a payload")
