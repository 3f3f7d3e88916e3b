"""Which key of the state of a task or an asset, in Airflow's state store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airflow_xcom.backend.blob_paths import STATES
from airflow_xcom.backend.envelope import Coordinate
from airflow_xcom.backend.path_segments import digest, segment
from airflow_xcom.codecs.quoting import cut

WRAPPER = "__airflow_state_ref__"
"""The key under which Airflow puts what a backend returns into the row."""
TASK, ASSET = "task", "asset"
_SHOWN = 1000  # characters, in messages
_READABLE = 40  # characters of a name in a path; the hash tells it from others


@dataclass(slots=True, unsafe_hash=True)
class StateCoordinate(Coordinate):
    """Which key of the state of a task or an asset; with neither, of none.

    Attributes:
        region: of a task in a loop, which iteration, in hexadecimal; None elsewhere, and before Airflow 3.4.
        name: of the asset, if a task asked by its name.
        uri: of the asset, if a task asked by that.
    """

    region: str | None = None
    name: str | None = None
    uri: str | None = None

    @property
    def kind(self) -> str | None:
        """Return ``"task"`` or ``"asset"``: what it is the state of."""
        if self.name is not None or self.uri is not None:
            return ASSET
        return None if self.dag_id is None else TASK

    def __str__(self) -> str:
        if self.kind is None:
            return "state of nothing that is known"
        if self.kind == ASSET:
            named = f"asset={self.name}" if self.name is not None else f"asset uri={self.uri}"
        else:
            named = f"dag={self.dag_id} run={self.run_id} task={self.task_id} map_index={self.map_index}"
        region = "" if self.region is None else f" region={self.region}"
        return cut(f"state of {named}{region} key={self.key}", _SHOWN)

    def agrees_with(self, other: Coordinate) -> bool:
        """Return whether both are the same; assets are, if both know the name or the URI, and what both know."""
        if not isinstance(other, StateCoordinate) or self.kind != ASSET or not self.shares_name_with(other):
            return self == other
        pairs = (self.name, other.name), (self.uri, other.uri)
        return self.key == other.key and all(None in pair or pair[0] == pair[1] for pair in pairs)

    def shares_name_with(self, other: StateCoordinate) -> bool:
        """Return whether both know the name of their asset, or both its URI."""
        return None not in {self.name, other.name} or None not in {self.uri, other.uri}

    def to_json(self) -> list[Any]:
        """Return what it is the state of, and the key."""
        if self.kind == ASSET:
            return [ASSET, self.name, self.uri, self.key]
        return [TASK, self.dag_id, self.run_id, self.task_id, self.map_index, self.region, self.key]

    def prefix(self) -> str:
        """Return what the paths of its blobs begin with: ``state/scope.<hash>/key.<hash>-``, cut and escaped.

        The first hash is of the scope, the second of all.  A key of any length, or one such as ``../x``, stays in its
        folder.  No path of an XCom has three segments.
        """
        *scope, key = self.to_json()
        readable = self.name or self.uri or self.task_id
        folder = f"{_short(readable)}.{_hash(scope)}"
        return f"{STATES}{folder}/{_short(key)}.{_hash([*scope, key])}-"

    def former_prefix(self) -> None:
        """Return None: 0.1.0.dev0 kept no state."""

    @classmethod
    def from_json(cls, value: Any) -> StateCoordinate:
        """Return the coordinate that :meth:`to_json` wrote; one of nothing for anything else."""
        match value:
            case ["asset", str() | None as name, str() | None as uri, str(key)]:
                return cls(key=key, name=name, uri=uri)
            case ["task", str(dag), str(run), str(task), int(index), str() | None as region, str(key)]:
                return cls(dag, run, task, index, key, region)
        return cls()


def _short(text: str | None) -> str:
    """Return the beginning of ``text`` as part of a path segment."""
    return segment((text or "")[:_READABLE])


def _hash(parts: list[Any]) -> str:
    return digest(json.dumps(parts))
