"""What a path in a store says of the blob there: whether we wrote it, of which kind it is, and what it is known by.

XComs have paths of five segments; all else that we write has fewer, so that no Dag's name is mistaken for it.
"""

from __future__ import annotations

import re
from enum import Enum

VERSIONS, PINS, TAGS, RETIRED = "assets/", "pins/", "tags/", "retired/"
STATES = "state/"
# A path ends in a key, the hash of its XCom (but not in 0.1.0.dev0), 32 hexadecimal digits that no other path has, and
# what the format or an unfinished blob adds.
_UNIQUE = re.compile(r"\.(?:[0-9a-f]{16}-)?([0-9a-f]{32})(?![0-9a-f])")
_NAME = r"(\.?)[^/#]*\.(?:[0-9a-f]{16}-)?([0-9a-f]{32})(?:\.arrow|\.msgpack)?(\.tmp)?(?:#.*)?"
_FOLDER = r"[^/]+\.[0-9a-f]{16}/"  # of an asset, or of what has state
_DIGITS = 16  # of them tell a path from a million others; were two the same, a blob would stay that might be deleted


class Kind(Enum):
    """What a blob is.

    Attributes:
        XCOM: the value of an XCom.
        VERSION: that of a version of an asset.
        RETIRED: the tombstone of a version.
        PIN: which version a run reads.
        TAG: a name that somebody gave a version.
        STATE: the state of a task or an asset.
    """

    XCOM = re.compile(rf"(?:[^/]+/){{3}}-?\d+/{_NAME}")
    VERSION = re.compile(rf"{VERSIONS}{_FOLDER}{_NAME}")
    RETIRED = re.compile(rf"{RETIRED}{_FOLDER}{_NAME}")
    PIN = re.compile(rf"{PINS}[^/]+/[^/]+/(\.?)[0-9a-f]{{16}}\.\d+()((?:\.[0-9a-f]{{32}})?\.tmp)?")
    STATE = re.compile(rf"{STATES}{_FOLDER}{_NAME}")
    TAG = re.compile(rf"{TAGS}{_FOLDER}(\.?)[^/#]+?()(\.tmp)?")


def kind_of(path: str) -> Kind | None:
    """Return what a blob is, whole or not; None if this backend makes no such path."""
    if not (path.isascii() and path.isprintable()) or not {".", ".."}.isdisjoint(path.split("/")):
        return None
    for kind in Kind:
        if match := kind.value.fullmatch(path):
            return kind if bool(match[1]) == bool(match[3]) else None  # ".….tmp", see stores/files.py
    return None


def identity(path: str) -> int | None:
    """Return the number that a blob with a value, or its tombstone, is known by; None if the path has none."""
    kind = kind_of(path)
    match = None if kind is None else kind.value.fullmatch(path)
    return int(match[2][:_DIGITS], 16) if match is not None and match[2] else None


def identities(text: str) -> list[int]:
    """Return the numbers of all blobs that a text names."""
    return [int(digits[:_DIGITS], 16) for digits in _UNIQUE.findall(text)]


def tombstone_path(path: str) -> str:
    """Return where the tombstone of the version at a path stands."""
    return RETIRED + path.removeprefix(VERSIONS)
