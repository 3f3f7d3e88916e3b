"""What a payload is made of, read without the codecs of its values: nodes, and where its buffers lie.

Only built-in codecs of scalars (numbers, times, paths) are asked, which import no class that a payload names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from typing import Any

from airflow_xcom.backend.errors import SelectionTooLargeError
from airflow_xcom.codecs import Table, Tagged
from airflow_xcom.codecs.errors import any_error_as_corrupt
from airflow_xcom.codecs.payload_nodes import Body, Fetch, Memory, nodes_of_json
from airflow_xcom.codecs.quoting import cut, quoted

LARGEST = 8 << 20  # bytes of a tree, and of a value in a row
MASK = "***"  # as Airflow's
_LONGEST = 400  # characters of a leaf
_PAIR = 2
_SCALARS = re.compile("(decimal|fractions|uuid|ipaddress|pathlib|datetime|zoneinfo|numpy|pandas|str|int)([.].*)?")


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value that a built-in codec made."""

    tag: str
    value: Any


def read_tree(fetch: Fetch, size: int) -> Any:
    """Return the nodes of a MessagePack body: natives, Tagged, Scalar, Memory, and Tables of Memory.

    Raises:
        SelectionTooLargeError: The tree is too large to be shown.
        DecodeError, StoreError: The blob cannot be read.
    """
    with any_error_as_corrupt():
        body = Body(fetch, size)
        if (largest := body.tree_size()) > LARGEST:
            raise SelectionTooLargeError("the tree of this value", largest, LARGEST)
        return body.node(_restorer)


def read_json(value: Any) -> Any:
    """Return the nodes of a value in the JSON syntax, as :func:`read_tree` does; raise DecodeError if it is damaged."""
    return nodes_of_json(value, _restorer, read_tree)


def read_bytes(data: Any, start: int, stop: int) -> Any:
    """Return some bytes of a buffer, which may be in memory.

    Raises:
        SelectionTooLargeError: It is compressed and large.
        DecodeError, StoreError: The blob cannot be read.
    """
    if not isinstance(data, Memory):
        return data[start:stop]
    if data.algorithm is not None and data.size > LARGEST:
        raise SelectionTooLargeError("a compressed buffer", data.size, LARGEST)
    return data.read(start, stop)


def _restorer(tag: str, version: int) -> Callable[[Any], Any]:
    decode = _decoders().get(tag)

    def restore(node: Any) -> Any:
        if decode is not None:
            with suppress(Exception):  # what is damaged is shown as it stands
                return Scalar(tag, decode(_values(node), version))
        return Tagged(tag, version, node)

    return restore


def _values(node: Any) -> Any:
    if isinstance(node, Scalar):
        return node.value
    return [_values(item) for item in node] if type(node) is list else node


@cache
def _decoders() -> dict[str, Callable[[Any, int], Any]]:
    """Return what decodes scalars, by tag: from modules of this distribution, whatever is registered."""
    from airflow_xcom.codecs.builtin.numpy import array
    from airflow_xcom.codecs.builtin.pandas import scalars as pandas
    from airflow_xcom.codecs.builtin.stdlib import scalars, times

    codecs: Any = chain(scalars.CODECS, times.CODECS, pandas.CODECS)
    known = {codec.tag: codec.decode for codec in codecs}
    found = {tag: decode for tag, decode in known.items() if _SCALARS.fullmatch(tag)}
    return found | {codec.tag: codec.decode for codec in array.CODECS if codec.tag == "numpy.scalar"}


# -- what is shown of nodes ----------------------------------------------------------------------------------


def inner(node: Any) -> Any:
    """Return the node within tags."""
    while isinstance(node, Tagged):
        node = node.node
    return node


def children(node: Any) -> Any:
    """Return the items of a list or dict, within tags or not; nothing for another node."""
    found = inner(node)
    return found if type(found) in {list, dict} else ()


def is_pair(node: Any) -> bool:
    """Return whether a node is a name and its value, as in dicts that keep their order."""
    return type(node) is list and len(node) == _PAIR and type(node[0]) is str


def label(node: Any) -> str:
    """Return what the type of a node is called."""
    if isinstance(node, Tagged | Scalar):
        return cut(node.tag)
    if isinstance(node, Table):
        return "table"
    if isinstance(node, Memory | memoryview):
        return "buffer"
    return "null" if node is None else type(node).__name__


def text(node: Any) -> str:
    """Return a leaf as text, or how many items there are."""
    found = inner(node)
    if isinstance(found, Scalar):
        return _scalar_text(found.value)
    if type(found) in {list, dict}:
        return f"{len(found):,} item{'' if len(found) == 1 else 's'}"
    if type(found) is str:
        return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}… ({len(found):,} characters)"
    if isinstance(found, Table):
        return f"{len(found.table):,} bytes"
    if type(found) is bytes or isinstance(found, Memory | memoryview):
        return f"{len(found):,} bytes"
    return "null" if found is None else quoted(found)


def _scalar_text(value: Any) -> str:
    if type(value) is int and value.bit_length() > _LONGEST:
        return f"{hex(value >> max(value.bit_length() - _LONGEST, 0))}… ({value.bit_length():,} bits, hexadecimal)"
    return "".join(islice(str(value), _LONGEST)) if value is not None else "null"
