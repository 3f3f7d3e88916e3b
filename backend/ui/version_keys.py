"""Versions of assets by what stands in an address in place of an XCom's key, and what is known of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from airflow_xcom.backend.assets.latest import history
from airflow_xcom.backend.assets.version import Version
from airflow_xcom.backend.compat import hides_value_of
from airflow_xcom.backend.database.asset_versions import metadata_events
from airflow_xcom.backend.database.xcom_rows import rows_with_keys
from airflow_xcom.backend.envelope import PUBLISHED, Coordinate, Envelope
from airflow_xcom.backend.errors import HiddenValueError, XComNotFoundError

LARGEST_ID = 2**31 - 1  # of the assets and events in Airflow's database
_SEVERAL = 4  # rows of a key, of which other tasks may have pushed some
_KEY = re.compile(r"xcom_codecs\.version\.(\d{1,10})\.(\d{1,10})\.([0-9a-f]{32})", re.ASCII)


class VersionKey(NamedTuple):
    """Which version: the ids of its asset and of its event in the database, and its own."""

    asset: int
    event: int
    id: str

    def __str__(self) -> str:
        return f"xcom_codecs.version.{self.asset}.{self.event}.{self.id}"

    @classmethod
    def parse(cls, key: str | None) -> VersionKey | None:
        """Return what a key says; None if it is that of an XCom, or has a number that is no id."""
        match = _KEY.fullmatch(key or "")
        if match is None or max(int(match[1]), int(match[2])) > LARGEST_ID:
            return None
        return cls(int(match[1]), int(match[2]), match[3])


def version_of(key: VersionKey) -> Version:
    """Return the version; raise XComNotFoundError unless its event still names it and counts."""
    events = metadata_events()
    asset = events.asset(key.asset)
    found = () if asset is None else history(events, asset, number=key.event)
    for _, version in found:
        if version.id == key.id:
            return version
    raise XComNotFoundError(f"no event {key.event} of the asset tells of such a version; Airflow may have removed it")


def envelope_at(at: Coordinate, key: VersionKey) -> Envelope:
    """Return the envelope of a version that the task instance of ``at`` published.

    Raises:
        XComNotFoundError: There is none.
        HiddenValueError: Airflow masks what has the name of the asset.
    """
    version = version_of(key)
    if (version.dag_id, version.run_id, version.task_id, version.map_index) != tuple(at.to_json()[:-1]):
        raise XComNotFoundError(f"another task published the version {key.event} of the asset {version.name!r}")
    if hides_value_of(version.name):
        raise HiddenValueError(version.dag_id, f"Airflow masks what is named {version.name}")
    return noted([version])[0]


def noted(versions: Sequence[Version]) -> list[Envelope]:
    """Return the envelopes of versions with all that was noted when they were published, where it still is.

    An event tells the short facts alone.  The rest, such as the types of columns, is in a row beside the XComs of the
    task, which goes when the task runs again.
    """
    keys = [PUBLISHED + version.id for version in versions]
    rows = rows_with_keys(keys, _SEVERAL * len(keys)) if keys else []
    envelopes = {row.coordinate: row.envelope for row in rows if row.envelope is not None}
    found = []
    for version in versions:
        envelope = envelopes.get(version.envelope.coordinate)
        is_same = envelope is not None and envelope.reference == version.envelope.reference
        found.append(envelope if envelope is not None and is_same else version.envelope)
    return found
