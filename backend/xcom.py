"""The XCom backend class, for every supported Airflow over one implementation."""

from __future__ import annotations

import logging
import time
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.compat import base_xcom, from_row, json_bytes, stores_bytes
from airflow_xcom.backend.envelope import Coordinate, Envelope
from airflow_xcom.backend.lazy_sequences import fetch_ahead
from airflow_xcom.backend.pull import prepare, pull, pull_all, unread
from airflow_xcom.backend.settings import settings
from airflow_xcom.codecs import CodecError

if TYPE_CHECKING:
    from airflow_xcom.backend.settings import Settings

__all__ = ["CodecXComBackend"]

log = logging.getLogger("airflow_xcom.backend")

BaseXCom: Any = base_xcom()
STORES_BYTES = stores_bytes(BaseXCom)


class CodecXComBackend(BaseXCom):  # type: ignore[misc]
    """Stores plain JSON values as themselves, and everything else in an envelope, inline or offloaded.

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
        """The JSON value for the row; before Airflow 3.0, as text in bytes.

        Raises:
            EncodeError: the value cannot be stored exactly.
            StoreError: the store cannot be written to.
            SettingsError: an option is wrong.
        """
        pushed = _push(value, dag_id, run_id, task_id, map_index, key)
        return json_bytes(pushed) if STORES_BYTES else pushed

    @classmethod
    def store_value(cls, coordinate: Any, key: str, value: Any) -> Any:
        """See :meth:`serialize_value`; ``coordinate`` is Airflow's ``XComCoordinate``."""
        at = coordinate
        return _push(value, at.dag_id, at.run_id, at.task_id, at.region_index, key)

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """The value of a row; ``result.value`` is what the row holds.

        Raises:
            DecodeError: the payload is gone, damaged, forged, newer than this release, or of an unknown tag.
            StoreError: the store cannot be read.
        """
        return pull(from_row(result.value), result)

    def orm_deserialize_value(self) -> Any:
        """What the web server and the REST API of Airflow 2 show, for which no store is read.  Never raises."""
        from airflow_xcom.backend.ui.row_display import shown

        return shown(self, super().orm_deserialize_value)

    @classmethod
    def load_value(cls, stored: Any) -> Any:
        """See :meth:`deserialize_value`; ``stored`` is what the row holds."""
        return pull(stored, SimpleNamespace(value=stored))

    @classmethod
    def get_all(cls, **where: Any) -> Any:
        """What Airflow's own gives, with the blobs fetched side by side."""
        with unread():
            found = super().get_all(**where)
        return pull_all(found)

    @classmethod
    async def aget_all(cls, **where: Any) -> Any:
        """What Airflow's own gives, with the blobs fetched side by side."""
        import asyncio

        with unread():
            found = await super().aget_all(**where)
        return await asyncio.to_thread(pull_all, found)

    @classmethod
    def purge(cls, xcom: Any, *args: Any) -> None:
        """Delete the blob of a row that is about to go.  Never raises: a blob that stays is for a sweep to find."""
        try:
            envelope = Envelope.from_json(from_row(xcom.value))
            if envelope is None:
                (settings().legacy_backend or BaseXCom).purge(xcom, *args)
            elif envelope.reference is not None:
                from airflow_xcom.backend.blobs import delete_blob

                delete_blob(envelope.reference)
        except Exception:
            log.warning("could not purge the XCom %s; its payload stays", getattr(xcom, "key", None), exc_info=True)


@cache
def _policy() -> Any:
    """The policy, imported when it is first needed, and not again for every push."""
    from airflow_xcom.backend import placement as policy

    return policy


def _push(value: Any, *coordinate: Any) -> Any:
    try:
        if _policy().is_plain(value, settings()):
            return value
        return _push_hinted(value, Coordinate(*coordinate))
    except CodecError as error:
        error.context = str(Coordinate(*coordinate))
        raise


def _push_hinted(value: Any, coordinate: Coordinate) -> Any:
    from airflow_xcom.backend.hints import unwrapped

    bare, hint = unwrapped(value, coordinate)
    options = hint.applied(settings())
    if bare is not value and not hint.offloads and _policy().is_plain(bare, options):
        return bare
    return _push_enclosed(bare, coordinate, options)


def _push_enclosed(value: Any, coordinate: Coordinate, options: Settings) -> Any:
    began = time.perf_counter()
    prepare()
    envelope, size = _enclose(value, coordinate, options)
    place = "row" if envelope.reference is None else "blob"
    took = (time.perf_counter() - began) * 1e3
    log.info("pushed %s tag=%s place=%s bytes=%d ms=%.2f", coordinate, envelope.tag, place, size, took)
    return envelope.to_json()


def _enclose(value: Any, coordinate: Coordinate, options: Settings) -> tuple[Envelope, int]:
    """The envelope of ``value``, its blob written if it has one; and the bytes that the payload takes."""
    import orjson

    from airflow_xcom.backend import blobs
    from airflow_xcom.backend import placement as policy
    from airflow_xcom.codecs import encode

    payload = encode(value, stream=policy.offloads(options), compression=options.compression_for(options.name))
    if not payload.is_stream and policy.fits_row(payload.raw_size, options):
        data = payload.to_json()
        size = len(orjson.dumps(data))
        if policy.fits_row(size, options):
            summary = policy.row_summary(value, payload, payload.raw_size)
            return Envelope(payload.tag, summary, coordinate, data=data, suppliers=payload.suppliers), size
    reference = blobs.write_blob(payload, coordinate, options)
    summary = policy.row_summary(value, payload, reference.size if payload.is_stream else payload.raw_size)
    envelope = Envelope(payload.tag, summary, coordinate, reference=reference, suppliers=payload.suppliers)
    return envelope, reference.size


fetch_ahead()
