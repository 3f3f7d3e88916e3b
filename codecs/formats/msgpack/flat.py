"""Lists of few natives, as codecs of small values make them: nothing in them is looked for, numbered or batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any

import msgpack

from airflow_xcom.codecs.formats.msgpack.extension_types import FIRST_TAG

_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})
# As ExtType(), without its checks, which cost more than the packing of what most tagged values hold.
extension_type: Callable[[tuple[int, bytes]], msgpack.ExtType] = partial(tuple.__new__, msgpack.ExtType)
new_packer: Callable[[], msgpack.Packer] = partial(msgpack.Packer, strict_types=True, buf_size=4096)
_LARGE, _TOO_LARGE = 1 << 16, 1 << 32  # bytes of extensions whose head is that of ext 32, and that MessagePack lacks
_SHORTEST = 15  # items of an array with a head of one byte; up to 65,535 it has three
_FEW = 16  # items of a list in which, or as which, another list may stand


def classes_of(values: Sequence[Any]) -> set[type]:
    """Return the classes of values; where all are of one, in half the time of a set."""
    classes = list(map(type, values))
    return {classes[0]} if classes and classes.count(classes[0]) == len(classes) else set(classes)


def is_flat(value: Any) -> bool:
    """Return whether a value is a list of scalars, or a short one in which short lists of them stand, too."""
    if type(value) is not list:
        return False
    classes = classes_of(value)
    if list not in classes:
        return _SCALARS.issuperset(classes)
    if len(value) >= _FEW:
        return False
    lists = [item for item in value if type(item) is list]
    few = max(map(len, lists)) < _FEW and _SCALARS.issuperset(classes - {list})
    return few and _SCALARS.issuperset(map(type, chain.from_iterable(lists)))


def packed_scalars(pack: Callable[[Any], bytes], values: list[Any]) -> bytes | None:
    """Return packed scalars one after another; None of a list in which something else is, or that takes a writer."""
    if not _SCALARS.issuperset(classes_of(values)):
        return None
    try:
        packed = pack(values)
    except (ValueError, OverflowError):  # as below
        return None
    return packed[1 if len(values) <= _SHORTEST else 3 :]  # without the head of the list, for fewer than 65,536


def packed_extension(pack: Callable[[Any], bytes], extension: msgpack.ExtType) -> bytes:
    """Return a packed extension; a large one is copied once, which packers do three times."""
    code, data = extension
    if not _LARGE <= len(data) < _TOO_LARGE:
        return pack(extension)
    return b"".join([b"\xc9", len(data).to_bytes(4, "big"), bytes([code]), data])


def tagged_tree(node: Any) -> bytes | None:
    """Return the tree that a writer makes of a node under the first tag of its table; None if that takes a writer."""
    if not is_flat(node):
        return None
    pack = new_packer().pack
    try:
        tree: bytes = pack(extension_type((FIRST_TAG, pack(node))))
    except (ValueError, OverflowError):  # text that is no Unicode, or an int of more than 64 bits
        return None
    return tree
