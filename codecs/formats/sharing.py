"""Bounds what is written once and stands for many nodes.

Whoever hashes, compares or prints a value pays for a node in every place where it stands, and nodes shared within
shared nodes double with each level: 2 KB could stand for 2**60 nodes.  So each further place counts as many nodes as
it stands for, and a payload may have only so many; docs/FORMAT.md, section 8.
"""

from __future__ import annotations

from airflow_xcom.codecs.errors import CorruptPayloadError

LEAST = 4_000_000  # nodes
FACTOR = 32  # nodes for each byte
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

    __slots__ = ("_size", "cost", "spent")

    def __init__(self, size: float = 0) -> None:
        self._size = size
        self.spent = self.cost = 0

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

    def charge(self, nodes: int) -> None:
        """Count what takes long to make; raise CorruptPayloadError if that is more than the bytes allow."""
        self.cost += nodes
        if is_exceeded(self.cost, self._size):
            raise CorruptPayloadError("what is in the payload takes too long to make; no release writes such a payload")
