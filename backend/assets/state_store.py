"""The state store of Airflow's workers, from Airflow 3.3 on: values of any type and size, exact.

To use it, set ``[workers] state_store_backend = airflow_xcom.backend.CodecStateStore``.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NoReturn

from airflow_xcom.backend.assets.state_accessors import (
    Later,
    Prepared,
    asked_state,
    is_reading_later,
    state_of,
    wrap_accessors,
)
from airflow_xcom.backend.compat import STATE_STORE, base_state_store, state_accessors
from airflow_xcom.backend.errors import SettingsError
from airflow_xcom.backend.state_coordinate import ASSET, TASK, StateCoordinate
from airflow_xcom.backend.state_values import read, written

BaseStateStore: Any = base_state_store()


class CodecStateStore(BaseStateStore):  # type: ignore[misc]
    """Keeps state as :class:`~airflow_xcom.backend.CodecXComBackend` keeps XComs: by codecs, in the row or in a store.

    A blob is deleted by nothing but a sweep: neither where a key is set again, nor by :meth:`delete` and
    :meth:`clear`, which Airflow calls once the rows are gone.
    """

    def serialize_task_state_store_to_ref(self, *, value: Any, key: str, scope: Any) -> str:
        """Return what the row of a task's state holds, once the blob is written if the value has one.

        Raises:
            EncodeError: The value cannot be stored exactly.
            StoreError: The store cannot be written to.
            SettingsError: An option is wrong.
        """
        return _ref(value, key, scope)

    serialize_asset_state_store_to_ref = serialize_task_state_store_to_ref

    def deserialize_task_state_store_from_ref(self, stored: str) -> Any:
        """Return the value that the row of a task's state holds.

        Raises:
            ForeignStateError: It was written for another key, task or asset.
            MissingPayloadError: Its blob is gone.
            DecodeError: The payload is damaged, forged, newer than this release, or of an unknown tag.
            StoreError: The store cannot be read.
        """
        return _value(stored, TASK)

    def deserialize_asset_state_store_from_ref(self, stored: str) -> Any:
        """See :meth:`deserialize_task_state_store_from_ref`."""
        return _value(stored, ASSET)

    def delete(self, *_: Any, **__: Any) -> None:
        """Leave blobs, to which no row refers any more, to a sweep."""

    async def adelete(self, *_: Any, **__: Any) -> None:
        """See :meth:`delete`."""

    def get(self, *_: Any, **__: Any) -> NoReturn:
        """Raise SettingsError: a server calls this, on what ``[state_store] backend`` names."""
        _refuse_server()

    async def aget(self, *_: Any, **__: Any) -> NoReturn:
        """See :meth:`get`."""
        _refuse_server()

    clear, aclear = delete, adelete
    set, aset = get, aget


def _ref(value: Any, key: str, scope: Any) -> str:
    return value.ref if type(value) is Prepared else written(value, state_of(scope, key))


def _value(stored: str, kind: str) -> Any:
    reading = partial(read, stored, kind, asked_state.get(), _identified)
    return Later(reading) if is_reading_later.get() else reading()


def _identified(asked: StateCoordinate) -> StateCoordinate:
    """Return the coordinate with the name and the URI of its asset, which the supervisor knows."""
    from airflow.sdk.execution_time.comms import GetAssetByName, GetAssetByUri
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    question = GetAssetByUri(uri=asked.uri or "") if asked.name is None else GetAssetByName(name=asked.name)
    asset: Any = SUPERVISOR_COMMS.send(question)
    return StateCoordinate(key=asked.key, name=getattr(asset, "name", asked.name), uri=getattr(asset, "uri", asked.uri))


def _refuse_server() -> NoReturn:
    name = f"{__name__}.{CodecStateStore.__name__}"
    remedy = f"this is for workers; name it in [{STATE_STORE[0]}] {STATE_STORE[1]}, and leave this option out"
    raise SettingsError("backend", name, remedy, section="state_store")


def _prepare(value: Any, key: str, scope: Any) -> str | None:
    """Return the reference to a value if this is the backend that is configured."""
    configured = state_accessors()._get_worker_state_store_backend()  # noqa: SLF001 - there is no public way
    return _ref(value, key, scope) if isinstance(configured, CodecStateStore) else None


wrap_accessors(state_accessors(), _prepare)
