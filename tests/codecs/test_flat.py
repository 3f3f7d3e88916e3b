"""Lists of few natives: packed without a writer, to the bytes that a writer makes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_xcom.codecs import registry
from airflow_xcom.codecs.formats.arrow.file import stream_chunks
from airflow_xcom.codecs.formats.msgpack.flat import tagged_tree
from airflow_xcom.codecs.formats.msgpack.writer import Writer
from airflow_xcom.codecs.nodes import Tagged

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.text(st.characters())
NODES = st.recursive(SCALARS, lambda items: st.lists(items, max_size=20), max_leaves=25)


def written(node: Any) -> bytes:
    return Writer(registry.for_type, stream_chunks).pack(Tagged("numpy.ndarray", 1, node))


@given(NODES)
@example(["<f8", [3], b"x" * 24])
@example([b"x" * 100_000])
@example([[0] * 40])
def test_a_writer_makes_the_same_tree(node: Any) -> None:
    tree = tagged_tree(node)
    assert tree is None or tree == written(node)


@pytest.mark.parametrize("node", [[], ["<f8", [3], b"x"], [None, True, 1.5], [0] * 1000])
def test_few_natives_need_no_writer(node: Any) -> None:
    assert tagged_tree(node) == written(node)


@pytest.mark.parametrize(
    "node", ["text", {"a": 1}, [{}], [bytearray(b"x")], [[[1]]], [[0] * 40], [2**64], ["\udc80"], [datetime.now(UTC)]]
)
def test_what_takes_a_writer_is_left_to_it(node: Any) -> None:
    assert tagged_tree(node) is None
