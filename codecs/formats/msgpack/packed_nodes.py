"""Reads what a writer has just packed: its nodes, and whether readers will take them."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import Any

from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.formats.msgpack.reader import NodeReader, count_expanded
from airflow_xcom.codecs.formats.msgpack.writer import Writer
from airflow_xcom.codecs.formats.sharing import FACTOR, LEAST, Budget, is_exceeded
from airflow_xcom.codecs.nodes import Table, Tagged


def read_nodes(packed: bytes, writer: Writer) -> Any:
    """Return the node that ``writer``, which numbers no objects, packed: Tagged, Table and memoryview objects in it."""
    return NodeReader(writer.tags, (), partial(partial, Tagged), Table, budget=Budget(inf)).unpack(packed)


def refuse_excess(trees: list[bytes], writer: Writer) -> None:
    """Raise UnsupportedValueError for trees of ``writer`` that readers refuse: shared objects stand for too much."""
    size = sum(map(len, trees))
    if is_exceeded(writer.expanded, size) and is_exceeded(count_expanded(writer.tags, writer.buffers, *trees), size):
        raise UnsupportedValueError(
            "the objects that stand in several places of it would make a reader go through too much, "
            f"as they stand for more than {LEAST:,} nodes and for more than {FACTOR} for each byte; return each of "
            "them once, beside keys or positions that refer to it"
        )
