"""What obstore does not list of S3: multipart uploads that were not completed, and objects whose keys it refuses.

botocore does, which Airflow's Amazon provider brings.  docs/STORES.md says what removes such uploads from Google Cloud
Storage and Azure.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.errors import StoreError
from airflow_xcom.backend.stores.base import Blob

if TYPE_CHECKING:
    from airflow_xcom.backend.stores.connections import Bucket

log = logging.getLogger("airflow_xcom.backend")


def list_uploads(bucket: Bucket, timeout: float) -> Iterator[Blob]:
    """Yield each unfinished upload as a blob of the path ``path#upload id``, as old as the upload, of unknown size.

    Where they cannot be listed a warning says so, and that a rule of the bucket should abort them.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        pages = _client(bucket, timeout).get_paginator("list_multipart_uploads")
    except ImportError:
        _warn(bucket, "botocore is not installed")
        return
    try:
        for page in pages.paginate(Bucket=bucket.name, Prefix=_prefix(bucket)):
            for upload in page.get("Uploads", ()):
                path = f"{upload['Key'].removeprefix(_prefix(bucket))}#{upload['UploadId']}"
                yield Blob(path, 0, upload["Initiated"].timestamp())
    except (BotoCoreError, ClientError) as error:
        _warn(bucket, _reason(error))


def list_objects(bucket: Bucket, timeout: float, prefix: str, after: str) -> Iterator[Blob]:
    """Yield the objects below a prefix that come after a path, whatever their keys: others may have ``a//b``, say.

    Raises:
        StoreError: They cannot be listed.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        pages = _client(bucket, timeout).get_paginator("list_objects_v2")
    except ImportError as error:
        advice = "it has a key that only botocore lists: install apache-airflow-providers-amazon, or remove that object"
        raise StoreError(bucket.url, f"cannot list: {advice}") from error
    base = _prefix(bucket)
    try:
        for page in pages.paginate(Bucket=bucket.name, Prefix=base + prefix, StartAfter=base + after):
            for found in page.get("Contents", ()):
                yield Blob(found["Key"].removeprefix(base), found["Size"], found["LastModified"].timestamp())
    except (BotoCoreError, ClientError) as error:
        reason = _reason(error)
    else:
        return
    raise StoreError(bucket.url, f"cannot list: {reason}")


def abort_upload(bucket: Bucket, timeout: float, path: str) -> bool:
    """Abort an upload, and return whether it was there."""
    from botocore.exceptions import BotoCoreError, ClientError

    key, _, upload = path.partition("#")
    try:
        _client(bucket, timeout).abort_multipart_upload(Bucket=bucket.name, Key=_prefix(bucket) + key, UploadId=upload)
    except (BotoCoreError, ClientError) as error:
        reason = _reason(error)
    else:
        return True
    if reason == "NoSuchUpload":
        return False
    raise StoreError(bucket.url, f"cannot abort an unfinished upload: {reason}")


def _client(bucket: Bucket, timeout: float) -> Any:
    from botocore.config import Config
    from botocore.session import Session

    account = bucket.account()
    is_virtual = bool(account.config.get("virtual_hosted_style_request"))
    key = account.credentials() if account.credentials else {}
    return Session().create_client(
        "s3",
        region_name=account.config.get("region") or os.environ.get("AWS_REGION"),
        # obstore wants the bucket in the host's name, and botocore adds it.
        endpoint_url=str(account.config.get("endpoint") or "").replace(f"://{bucket.name}.", "://") or None,
        aws_access_key_id=key.get("access_key_id"),
        aws_secret_access_key=key.get("secret_access_key"),
        aws_session_token=key.get("token"),
        verify=account.verify,
        config=Config(
            connect_timeout=timeout, read_timeout=timeout, s3={"addressing_style": "virtual" if is_virtual else "path"}
        ),
    )


def _prefix(bucket: Bucket) -> str:
    return f"{bucket.prefix}/" if bucket.prefix else ""


def _reason(error: Any) -> str:
    """Return the code of the server's answer or else the name of the error, whose text may quote credentials."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__))


def _warn(bucket: Bucket, reason: str) -> None:
    rule = "give the bucket a lifecycle rule with AbortIncompleteMultipartUpload"
    log.warning("the store %s does not list unfinished uploads: %s; %s", bucket.url, reason, rule)
