"""The XCom backend class, for every supported Airflow over one implementation."""

from __future__ import annotations

import logging
import os
import re
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from airflow_xcom.backend.compat import base_xcom, from_row, json_bytes, patch_lazy_sequences, stores_bytes
from airflow_xcom.backend.envelope import PINNED, Envelope
from airflow_xcom.backend.lazy_sequences import get_item, iterate
from airflow_xcom.backend.pull import asking, connect_registry, deferring, pull, pull_all, renewable
from airflow_xcom.backend.settings import settings
from airflow_xcom.codecs.discovery import imported

log = logging.getLogger("airflow_xcom.backend")

BaseXCom: Any = base_xcom()
STORES_BYTES = stores_bytes(BaseXCom)


class CodecXComBackend(BaseXCom):  # type: ignore[misc]
    """Stores JSON that any database keeps exactly as itself, everything else in an envelope, inline or offloaded.

    Both pairs of hooks are defined, as Airflow 3.4 asks: ``serialize_value``/``deserialize_value`` up to 3.3, and
    ``store_value``/``load_value`` from 3.4.  Airflow 2 has ``orm_deserialize_value`` beside the first pair.
    """

    @staticmethod
    def serialize_value(  # noqa: PLR0913 - the signature is Airflow's
        value: Any,
        *,
        key: str | None = None,
        task_id: str | None = None,
        dag_id: str | None = None,
        run_id: str | None = None,
        map_index: int | None = None,
    ) -> Any:
        """Return the JSON value for the row; before Airflow 3.0, as text in bytes.

        Raises:
            EncodeError: The value cannot be stored exactly.
            StoreError: The store cannot be written to.
            SettingsError: An option is wrong.
        """
        pushed = imported("airflow_xcom.backend.push").push(value, dag_id, run_id, task_id, map_index, key)
        return json_bytes(pushed) if STORES_BYTES else pushed

    @classmethod
    def store_value(cls, coordinate: Any, key: str, value: Any) -> Any:
        """See :meth:`serialize_value`; ``coordinate`` is Airflow's ``XComCoordinate``."""
        at = coordinate
        return imported("airflow_xcom.backend.push").push(value, at.dag_id, at.run_id, at.task_id, at.region_index, key)

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """Return the value of a row; ``result.value`` is what the row holds.

        Raises:
            ForeignReferenceError: The value was written for another XCom.
            DecodeError: The payload is gone, damaged, forged, newer than this release, or of an unknown tag.
            StoreError: The store cannot be read.
        """
        return pull(from_row(result.value), result)

    def orm_deserialize_value(self) -> Any:
        """Return what the web server and the REST API of Airflow 2 show, for which no store is read.  Never raises."""
        from airflow_xcom.backend.ui.row_display import display

        return display(self, super().orm_deserialize_value)

    @classmethod
    def load_value(cls, stored: Any) -> Any:
        """See :meth:`deserialize_value`; ``stored`` is what the row holds."""
        return pull(stored, SimpleNamespace(value=stored))

    @classmethod
    def get_value(cls, *, ti_key: Any, **where: Any) -> Any:
        """Return what Airflow's own method does, if it was written for that XCom."""
        at = ti_key
        with asking(dag_id=at.dag_id, run_id=at.run_id, task_id=at.task_id, map_index=at.map_index, **where):
            return super().get_value(ti_key=ti_key, **where)

    @classmethod
    def get_one(cls, *args: Any, **where: Any) -> Any:
        """Return what Airflow's own method does, if it was written for that XCom; only Airflow 2 passes ``args``."""
        with asking(**where):
            return super().get_one(*args, **where)

    @classmethod
    async def aget_one(cls, **where: Any) -> Any:
        """Return what Airflow's own method does, if it was written for that XCom."""
        with asking(**where):
            return await super().aget_one(**where)

    @classmethod
    def get_all(cls, **where: Any) -> Any:
        """Return what Airflow's own method does, with the blobs fetched concurrently."""
        return pull_all(renewable(cls._rows(**where), partial(cls._rows, **where)))

    @classmethod
    def _rows(cls, **where: Any) -> Any:
        with asking(**where), deferring():
            return super().get_all(**where)

    @classmethod
    async def aget_all(cls, **where: Any) -> Any:
        """Return what Airflow's own method does, with the blobs fetched concurrently."""
        import asyncio

        with asking(**where), deferring():
            rows = await super().aget_all(**where)
        return await asyncio.to_thread(pull_all, renewable(rows, partial(cls._rows, **where)))

    @classmethod
    def delete(cls, key: str, **where: Any) -> None:
        """Do as Airflow's own method, which a task that starts again calls for each XCom of its last try.

        Rows that name what a run reads of assets stay, for the task is to read the same again.
        """
        if not key.startswith(PINNED):
            super().delete(key=key, **where)

    if STORES_BYTES:

        @classmethod
        def clear(cls, *, session: Any = None, **where: Any) -> None:
            """Do as Airflow 2's own method, which a task that starts again calls; see :meth:`delete`."""
            from airflow_xcom.backend.compat import clear_rows

            clear_rows(BaseXCom, cls.purge, PINNED, session, **where)

    @classmethod
    def purge(cls, xcom: Any, *args: Any) -> None:
        """Let the former backend purge what it wrote; a sweep deletes our blobs once no row refers to them.

        Airflow calls this before it deletes the row, which may fail.  Never raises.
        """
        try:
            if Envelope.from_json(from_row(xcom.value)) is None:
                (settings().legacy_backend or BaseXCom).purge(xcom, *args)
        except Exception:
            log.warning("could not purge the XCom %s; its payload stays", getattr(xcom, "key", None), exc_info=True)


_PRELOADED = ("airflow_xcom.codecs.payload", "airflow_xcom.backend.push", "airflow_xcom.backend.multiple_outputs")


@cache
def _preload() -> None:
    """Do what a first push or pull does once, before the process is forked: its children then have that."""
    from datetime import UTC, datetime
    from decimal import Decimal

    payload, *_ = map(imported, _PRELOADED)
    connect_registry()
    for value in 2 * (datetime.now(UTC), Decimal(), ()):  # codecs that are loaded have the registry forget classes
        payload.decode_json(payload.encode(value).to_json())
    re.sub(r"\W+", "_", "")  # as Airflow does with names; asked for one, it might remember options of this process


os.register_at_fork(before=_preload)
patch_lazy_sequences(get_item, iterate)
