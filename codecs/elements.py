"""The items of a list, each read from its own bytes of a blob that has an index of them."""

from __future__ import annotations

from typing import Any

from airflow_xcom.codecs.errors import any_error_as_corrupt
from airflow_xcom.codecs.formats.msgpack.items import ItemIndex
from airflow_xcom.codecs.formats.msgpack.reader import read_item
from airflow_xcom.codecs.payload import Decoder
from airflow_xcom.codecs.registry import Registry, registry


def read_index(head: memoryview, size: int) -> ItemIndex:
    """Return where the items of a list are in a blob of this size, by its header, :attr:`Payload.index`, at least."""
    with any_error_as_corrupt():
        return ItemIndex(head, size)


def decode_item(index: ItemIndex, number: int, memory: memoryview, *, registry: Registry = registry) -> Any:
    """Return an item of a list from the bytes of its range, which are writable, and in which it may lie."""
    return read_item(index, number, memory, Decoder(registry))
