"""Which blobs rows refer to, as a metadata database or Airflow's REST API tells."""

from __future__ import annotations

import json
import re
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from airflow_xcom.backend.envelope import ENVELOPE_KEY, Envelope
from airflow_xcom.codecs import CodecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_xcom.backend.database.deployment import Deployment
    from airflow_xcom.backend.database.tables import RunKey
    from airflow_xcom.backend.database.xcom_rows import Rows, XComRow
    from airflow_xcom.backend.envelope import Reference

__all__ = ["DatabaseRows", "References", "RowSource", "SweepError", "identity"]

# A path ends in a key, the hash of its XCom (but not in 0.1.0.dev0), 32 hexadecimal digits that no other path has, and
# what the format or an unfinished blob adds.
_UNIQUE = re.compile(r"\.(?:[0-9a-f]{16}-)?([0-9a-f]{32})(?![0-9a-f])")
_OURS = re.compile(
    r"(?:[^/]+/){3}-?\d+/(\.?)[^/#]*\.(?:[0-9a-f]{16}-)?([0-9a-f]{32})(?:\.arrow|\.msgpack)?(\.tmp)?(?:#.*)?"
)
_PROBLEMS = 10  # rows that the report names
_DIGITS = 16  # of them tell a path from a million others; were two the same, a blob would stay that might be deleted


class SweepError(CodecError, RuntimeError):
    """A sweep cannot know what is referred to, and so deletes nothing more."""


class RowSource(Protocol):
    """Where the rows with XComs are read."""

    def candidates(self, runs: Sequence[RunKey] | None = None) -> Iterator[XComRow]:
        """Yield the rows that may refer to a blob: all of these runs, perhaps more; of every run without them."""

    def deployment(self, *, create: bool = False) -> Deployment | None:
        """Return which Airflow this is; None if it has no id and none is to be made.

        Raises:
            SweepError: That cannot be known.
        """

    def hidden(self, dags: Iterable[str]) -> list[str]:
        """Return those of the Dags of which rows may be there that cannot be seen.

        Raises:
            SweepError: That cannot be known.
        """


@dataclass(frozen=True)
class DatabaseRows:
    """The rows of a metadata database.

    Raises:
        SweepError: There is no table with XComs.
    """

    rows: Rows
    page: int = 2000

    def __post_init__(self) -> None:
        if not self.rows.tables:
            raise SweepError("the metadata database has no table of XComs; is it Airflow's?")

    def candidates(self, runs: Sequence[RunKey] | None = None) -> Iterator[XComRow]:
        return self.rows.candidates(runs, self.page)

    def deployment(self, *, create: bool = False) -> Deployment | None:
        """Return which Airflow this is, see :class:`RowSource`."""
        return self.rows.deployment(create=create)

    def hidden(self, dags: Iterable[str]) -> list[str]:  # noqa: ARG002 - the source's interface
        """Return none: all rows can be seen."""
        return []


@dataclass
class References:
    """What rows refer to: 8 bytes for each reference.

    Attributes:
        rows: that were read.
        unreadable: of them, which this release or this configuration cannot read; what their text names counts.
        problems: why, for the first of these.
    """

    rows: int = 0
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    _identities: array[int] = field(default_factory=lambda: array("Q"))
    _sorted: Any = None
    _stores: set[tuple[str, str]] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._identities)

    def add(self, row: XComRow) -> None:
        """Take note of whatever the text of a row names.

        It need not be a reference that can be read: text that looks like the path of one of our blobs protects it.
        """
        self.rows += 1
        self._identities.extend([int(digits[:_DIGITS], 16) for digits in _UNIQUE.findall(row.text)])
        try:
            value = _loads(row.text)
            envelope = None if self._is_known(value) else Envelope.from_json(value)
            if envelope is not None and envelope.reference is not None:
                self._check_store(envelope.reference)
        except (ValueError, TypeError, RecursionError, CodecError) as error:
            self.unreadable += 1
            if len(self.problems) < _PROBLEMS:
                self.problems.append(f"{row}: {type(error).__name__}: {error}")

    def _is_known(self, value: Any) -> bool:
        """Return whether a row is of our version and of a store met before: all that matters, and quickly seen."""
        try:
            content = value[ENVELOPE_KEY]
            reference = content["ref"]
            return content["version"] == 1 and (reference["store"], reference["url"]) in self._stores
        except (KeyError, TypeError):
            return False

    def _check_store(self, reference: Reference) -> None:
        from airflow_xcom.backend.blobs import store_name  # not at the top: the command line must load nothing

        store_name(reference)
        self._stores.add((reference.store, reference.url))

    def seal(self) -> None:
        """Make it ready to be asked; nothing is added any more."""
        import numpy as np

        self._sorted = np.sort(np.frombuffer(self._identities, np.uint64))

    def contain(self, identities: list[int]) -> list[bool]:
        """Return for each blob whether a row refers to it."""
        import numpy as np

        asked = np.array(identities, np.uint64)
        if not len(self._sorted):
            return [False] * len(identities)
        nearest = np.minimum(np.searchsorted(self._sorted, asked), len(self._sorted) - 1)
        return [bool(same) for same in self._sorted[nearest] == asked]


def identity(path: str) -> int | None:
    """Return what :class:`References` knows a blob by, whole or not; None if this backend makes no such path."""
    match = _OURS.fullmatch(path)
    if match is None or not (path.isascii() and path.isprintable()):
        return None
    if bool(match[1]) != bool(match[3]):  # ".….tmp", see stores/files.py
        return None
    return int(match[2][:_DIGITS], 16)


def _loads(text: str) -> Any:
    """Parse JSON, in a third of the time that the standard library's parser takes for a reference."""
    import orjson

    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)  # takes NaN and lone surrogates, too
