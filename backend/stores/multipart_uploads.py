"""Uploads in parts that were begun in a bucket of S3 and not completed: no listing of objects shows them.

The client does not list them, so the two requests are made here, signed as
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html says.  Google Cloud Storage
and Azure have no part in it: see docs/STORES.md for what removes such uploads there.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import logging
import os
import re
import ssl
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow_xcom.backend.errors import StoreError, StoreUnreachableError
from airflow_xcom.backend.stores.base import Blob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_xcom.backend.stores.connections import Bucket

__all__ = ["Uploads"]

log = logging.getLogger("airflow_xcom.backend")

_EMPTY = hashlib.sha256(b"").hexdigest()
_UPLOAD = re.compile(r"<Upload>.*?</Upload>", re.DOTALL)
_NOT_FOUND = 404
_CANNOT = {400, 401, 403, 405, 501}  # it does not let this be listed, or does not know how


class Uploads:
    """The unfinished uploads below the prefix of a bucket, as far as its connection has a key to sign with.

    Args:
        bucket: of S3.
        timeout: seconds for a request.
    """

    def __init__(self, bucket: Bucket, timeout: float) -> None:
        self._bucket = bucket
        self._timeout = timeout
        self._prefix = f"{bucket.prefix}/" if bucket.prefix else ""

    def list(self) -> Iterator[Blob]:
        """Each as a blob of the path ``path#upload id`` that is as old as its upload; its size is not known."""
        marker: dict[str, str] = {}
        while True:
            answer = self._ask("GET", "", {"uploads": "", "prefix": self._prefix, **marker})
            if answer is None:
                return
            for upload in _UPLOAD.findall(answer):
                path = _field(upload, "Key").removeprefix(self._prefix)
                begun = datetime.fromisoformat(_field(upload, "Initiated")).timestamp()
                yield Blob(f"{path}#{_field(upload, 'UploadId')}", 0, begun)
            if _field(answer, "IsTruncated") != "true":
                return
            names = {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}
            marker = {name: _field(answer, element) for name, element in names.items()}

    def abort(self, path: str) -> bool:
        """Give up an upload, and say whether it was there."""
        key, _, upload = path.partition("#")
        return self._ask("DELETE", f"{self._prefix}{key}", {"uploadId": upload}) is not None

    def _ask(self, method: str, key: str, query: Mapping[str, str]) -> str | None:
        """What the server answers; None if there is no such thing, or none that it lets us see."""
        import httpx

        account = self._bucket.account()
        credentials = account.credentials() if account.credentials else _of_environment()
        if credentials is None:
            return None
        url, headers = _signed(method, _address(self._bucket, account.config), key, query, account.config, credentials)
        try:
            with httpx.Client(verify=_certificates(account.options), timeout=self._timeout) as client:
                answer = client.request(method, url, headers=headers)
        except httpx.TransportError as error:
            reason = f"cannot list unfinished uploads: {type(error).__name__}"
            raise StoreUnreachableError(self._bucket.url, reason) from None
        if answer.status_code == _NOT_FOUND:
            return None
        if method == "GET" and answer.status_code in _CANNOT:
            log.warning("%s does not list unfinished uploads: status %d", self._bucket.url, answer.status_code)
            return None
        if not answer.is_success:
            raise StoreError(self._bucket.url, f"cannot list or abort unfinished uploads: status {answer.status_code}")
        return answer.text


def _address(bucket: Bucket, config: Mapping[str, Any]) -> str:
    """Where the bucket is, with its name in the host or in the path."""
    region = _region(config)
    is_virtual = bool(config.get("virtual_hosted_style_request"))
    host = f"{bucket.name}.s3.{region}.amazonaws.com" if is_virtual else f"s3.{region}.amazonaws.com"
    endpoint = str(config.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL") or f"https://{host}").rstrip("/")
    return endpoint if is_virtual else f"{endpoint}/{bucket.name}"


def _region(config: Mapping[str, Any]) -> str:
    return str(config.get("region") or os.environ.get("AWS_REGION") or "us-east-1")


def _of_environment() -> dict[str, Any] | None:
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    token = os.environ.get("AWS_SESSION_TOKEN")
    return {"access_key_id": key, "secret_access_key": secret, "token": token} if key and secret else None


def _signed(  # noqa: PLR0913, PLR0917 - what goes into a signature
    method: str,
    address: str,
    key: str,
    query: Mapping[str, str],
    config: Mapping[str, Any],
    credentials: Mapping[str, Any],
) -> tuple[str, dict[str, str]]:
    """The URL and the headers of a request without a body."""
    parts = urlsplit(address)
    path = f"{parts.path}/{quote(key, safe='/-_.~')}" if key else parts.path or "/"
    search = "&".join(f"{quote(name, safe='-_.~')}={quote(text, safe='-_.~')}" for name, text in sorted(query.items()))
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    headers = {"host": parts.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": now}
    if credentials.get("token"):
        headers["x-amz-security-token"] = str(credentials["token"])
    scope = f"{now[:8]}/{_region(config)}/s3/aws4_request"
    names = ";".join(headers)
    lines = [f"{name}:{text}" for name, text in headers.items()]
    canonical = "\n".join([method, path, search, *lines, "", names, _EMPTY])
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signature = f"AWS4{credentials['secret_access_key']}".encode()
    for part in [*scope.split("/"), text]:
        signature = hmac.digest(signature, part.encode(), "sha256")
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials['access_key_id']}/{scope}, "
        f"SignedHeaders={names}, Signature={signature.hex()}"
    )
    return f"{parts.scheme}://{parts.netloc}{path}?{search}", headers


def _certificates(options: Mapping[str, Any]) -> Any:
    if options.get("allow_invalid_certificates"):
        return False
    authorities = options.get("root_certificate")
    return ssl.create_default_context(cadata=authorities.decode()) if authorities else True


def _field(text: str, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return html.unescape(found[1]) if found else ""
