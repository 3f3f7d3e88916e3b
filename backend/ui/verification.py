"""Whether a blob is what was written, found piece by piece."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import xxhash

from airflow_xcom.backend.ui.stored_values import StoredValue
from airflow_xcom.codecs import SelectionError

_PIECE = 8 << 20  # bytes


def verification(value: StoredValue) -> Iterator[dict[str, Any]]:
    """Yield the bytes that are ``done`` of ``size``, and at last whether the digest ``matches``.

    Raises:
        SelectionError: The value has no blob.
        MissingPayloadError, StoreError: The blob is gone, or cannot be reached.
    """
    if value.envelope is None or value.envelope.reference is None:
        raise SelectionError("the value is in the row of Airflow's database, and has no digest")
    reference = value.envelope.reference
    value.most = sys.maxsize
    fetch, digest = value.fetch(), xxhash.xxh3_128()
    for start in range(0, reference.size, _PIECE):
        stop = min(start + _PIECE, reference.size)
        digest.update(fetch([(start, stop)])[0])
        yield {"done": stop, "size": reference.size}
    found = f"xxh3-128:{digest.hexdigest()}"
    yield {"done": reference.size, "size": reference.size, "matches": found == reference.digest, "digest": found}
