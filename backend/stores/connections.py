"""From the URL of a bucket, and the Airflow connection it names, to a client of obstore.

The fields and extras of a connection mean what they mean to the hooks of Airflow's providers, which need not be
installed: only what takes more than a key (a role to assume, a profile, an impersonated account) is left to them.
docs/STORES.md lists what is honoured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow_xcom.backend.errors import SettingsError
from airflow_xcom.backend.stores.airflow_connection import censored, find_connection, secrets_of

CLIENT_SHARE = 1 / 2  # of the time-out that the client may use for one request and its retries


@dataclass(frozen=True)
class Bucket:
    """A bucket (or container), as the URL of a store names it.

    Attributes:
        scheme: ``"s3"``, ``"gs"`` or ``"abfs"``.
        name: of the bucket.
        prefix: what all keys begin with, without slashes around it, or empty.
        connection_id: of the Airflow connection, or None for what the environment offers.
    """

    scheme: str
    name: str
    prefix: str
    connection_id: str | None
    _secrets: set[str] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def parse(cls, url: str) -> Bucket:
        """Parse ``scheme://connection@bucket/prefix``; raise SettingsError for anything else."""
        parts = urlsplit(url)
        account, _, name = parts.netloc.rpartition("@")
        form = f"give {parts.scheme}://connection@bucket/prefix, with the id of an Airflow connection or none"
        if ":" in account:
            raise SettingsError(
                "path", f"{parts.scheme}://…@{name}{parts.path}", f"{form}; keys belong in a connection"
            )
        prefix = parts.path.strip("/")
        odd = any(part in {"", ".", ".."} for part in prefix.split("/")) and prefix
        if not name or ":" in name or parts.query or parts.fragment or odd:
            raise SettingsError("path", url, form)
        if parts.scheme == "abfs" and "." in name:
            raise SettingsError("path", url, f"{form}; the account belongs in the connection")
        return cls(parts.scheme, name, prefix, unquote(account) or None)

    @property
    def origin(self) -> str:
        """Tell where address and credentials come from, for an error."""
        return f"in the Airflow connection {self.connection_id!r}" if self.connection_id else "in the environment"

    def client(self, timeout: float) -> Any:
        """Return a client of obstore whose requests give up after ``timeout`` seconds."""
        from obstore import store
        from obstore.exceptions import BaseError

        maker = {"s3": store.S3Store, "gs": store.GCSStore, "abfs": store.AzureStore}[self.scheme]
        account = self.account()
        endpoint = str(account.config.get("endpoint") or account.config.get("base_url") or "")
        attempt = timeout * CLIENT_SHARE / 2  # a retry begins before this has passed, and takes as much at most
        options = {
            "timeout": timedelta(seconds=attempt),
            "connect_timeout": timedelta(seconds=min(attempt, 10)),
            "allow_http": endpoint.startswith("http://"),
            **account.options,
        }
        retries = {
            "retry_timeout": timedelta(seconds=attempt),
            "backoff": {"max_backoff": timedelta(seconds=min(5, attempt))},
        }
        try:
            return maker(
                self.name,
                prefix=self.prefix or None,
                client_options=options,
                retry_config=retries,
                credential_provider=account.credentials,
                **account.config,
            )
        except (BaseError, ValueError) as error:
            reason = self.censored(str(error).partition("\n")[0])
        raise SettingsError("path", self.url, f"what is {self.origin} does not do: {reason}")

    def account(self) -> _Account:
        """Return what the connection says; nothing if there is none, so that the client looks at the environment."""
        return {"s3": _s3, "gs": _gcs, "abfs": _azure}[self.scheme](self._connection(), self)

    @property
    def url(self) -> str:
        """Return the URL that was parsed."""
        account = f"{self.connection_id}@" if self.connection_id else ""
        return f"{self.scheme}://{account}{self.name}/{self.prefix}".rstrip("/")

    def censored(self, text: str) -> str:
        """Return ``text`` without the secrets of the connection."""
        return censored(text, self._secrets)

    def _connection(self) -> Any:
        if self.connection_id is None:
            return None
        connection = find_connection(self.connection_id, self.url)
        login = connection.login if self.scheme == "s3" else None
        self._secrets.update(secrets_of([login, connection.password]) | secrets_of(connection.extra_dejson))
        return connection


@dataclass(frozen=True)
class _Account:
    """What a client needs besides the bucket; a repr shows none of it."""

    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    credentials: Callable[[], Any] | None = field(default=None, repr=False)
    verify: bool | str | None = None  # as botocore takes it


def _s3(aws: Any, bucket: Bucket) -> _Account:
    extra = aws.extra_dejson if aws else {}
    service = extra.get("service_config", {}).get("s3", {})
    endpoint = service.get("endpoint_url") or extra.get("endpoint_url")
    style = extra.get("config_kwargs", {}).get("s3", {}).get("addressing_style", "auto")
    # As botocore's "auto": by the name of the host where that is possible, but by the path on servers of one's own.
    virtual = style == "virtual" or (style == "auto" and not endpoint and "." not in bucket.name)
    if endpoint and virtual:
        scheme, _, host = endpoint.partition("://")
        endpoint = f"{scheme}://{bucket.name}.{host}"
    config = {
        "endpoint": endpoint,
        "region": extra.get("region_name"),
        "virtual_hosted_style_request": virtual,
        "disable_bulk_delete": True,
    }
    verify = _verify(extra.get("verify"))
    return _Account(_given(config), _certificates(verify, bucket), _aws_credentials(aws, extra), verify)


def _aws_credentials(aws: Any, extra: Mapping[str, Any]) -> Callable[[], Any] | None:
    """Return a function that returns a key, or None so that the client looks at the environment."""
    if aws is None:
        return None
    if any(extra.get(name) for name in ("role_arn", "profile_name", "assume_role_method", "assume_role_with_saml")):
        return _assumed_role(aws.conn_id)
    key = extra.get("aws_access_key_id") or aws.login
    if not key:
        return None
    credentials = {
        "access_key_id": key,
        "secret_access_key": extra.get("aws_secret_access_key") or aws.password or "",
        "token": extra.get("aws_session_token"),
        "expires_at": None,
    }
    return lambda: credentials


def _assumed_role(connection_id: str) -> Callable[[], Any]:
    hook = _hook("amazon.aws.hooks.base_aws", "AwsBaseHook", "amazon")(aws_conn_id=connection_id, client_type="s3")

    def credentials() -> dict[str, Any]:
        frozen = hook.get_credentials()
        soon = datetime.now(UTC) + timedelta(minutes=5)  # botocore renews before the end
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": soon,
        }

    return credentials


def _gcs(google: Any, _: Bucket) -> _Account:
    extra = _unprefixed(google, "google_cloud_platform")
    endpoint = {"base_url": extra.get("gcs.endpoint")}
    if extra.get("is_anonymous"):
        return _Account(_given({**endpoint, "skip_signature": True}))
    if any(extra.get(name) for name in ("impersonation_chain", "key_secret_name", "credential_config_file")):
        return _Account(_given(endpoint), credentials=_google_token(google.conn_id))
    key = extra.get("keyfile_dict")
    if key:
        key = key if isinstance(key, str) else json.dumps(key)
    return _Account(_given({**endpoint, "service_account_key": key, "service_account": extra.get("key_path")}))


def _google_token(connection_id: str) -> Callable[[], Any]:
    hook = _hook("google.common.hooks.base_google", "GoogleBaseHook", "google")(gcp_conn_id=connection_id)

    def credentials() -> dict[str, Any]:
        google = hook.get_credentials()
        if not google.valid:
            from google.auth.transport.requests import Request

            google.refresh(Request())
        return {"token": google.token, "expires_at": google.expiry and google.expiry.replace(tzinfo=UTC)}

    return credentials


def _azure(azure: Any, _: Bucket) -> _Account:
    extra = {**_unprefixed(azure, "azure_data_lake"), **_unprefixed(azure, "wasb")}
    if extra.get("connection_string"):
        return _Account(_given(_connection_string(extra["connection_string"])))
    host, login, password = (azure.host, azure.login, azure.password) if azure else (None, None, None)
    tenant = extra.get("tenant_id")
    endpoint = extra.get("account_host") or (host if host and "." in host else None)
    if endpoint and "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    config = {
        "endpoint": endpoint,
        "account_name": extra.get("account_name") or _azure_account(endpoint) or (None if tenant else login),
        "account_key": extra.get("account_key") or extra.get("shared_access_key") or (None if tenant else password),
        "sas_key": extra.get("sas_token"),
        "tenant_id": tenant or extra.get("workload_identity_tenant_id"),
        "client_id": (login if tenant else None)
        or extra.get("managed_identity_client_id")
        or extra.get("workload_identity_client_id"),
        "client_secret": password if tenant else None,
        "skip_signature": extra.get("anon"),
    }
    return _Account(_given(config))


def _azure_account(endpoint: str | None) -> str | None:
    """Return the account in ``https://account.blob.core.windows.net``."""
    host = urlsplit(endpoint or "").hostname or ""
    return host.partition(".")[0] if ".blob." in host or ".dfs." in host else None


def _connection_string(text: str) -> dict[str, Any]:
    parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    account, suffix = parts.get("AccountName"), parts.get("EndpointSuffix", "core.windows.net")
    default = f"{parts.get('DefaultEndpointsProtocol', 'https')}://{account}.blob.{suffix}" if account else None
    endpoint = parts.get("BlobEndpoint", default)
    return {
        "endpoint": endpoint and endpoint.rstrip("/"),
        "account_name": account or _azure_account(endpoint),
        "account_key": parts.get("AccountKey"),
        "sas_key": parts.get("SharedAccessSignature"),
    }


def _unprefixed(connection: Any, connection_type: str) -> dict[str, Any]:
    """Return the extras of a connection; earlier Airflows wrote ``extra__TYPE__`` before their names."""
    extra = connection.extra_dejson if connection else {}
    return {name.removeprefix(f"extra__{connection_type}__"): value for name, value in extra.items()}


def _given(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if value not in {None, ""}}


def _verify(extra: Any) -> bool | str | None:
    """Return ``verify`` as botocore takes it: False trusts every certificate, a text names a file of authorities."""
    if isinstance(extra, str) and extra.lower() not in {"true", "false"}:
        return extra
    return None if extra is None else str(extra).lower() == "true"


def _certificates(verify: Any, bucket: Bucket) -> dict[str, Any]:
    if isinstance(verify, str):
        try:
            return {"root_certificate": Path(verify).read_bytes()}
        except OSError as error:  # which would pass for a blob that is not there
            advice = f"verify={verify!r} {bucket.origin} names a file that cannot be read: {error.strerror}"
            raise SettingsError("path", bucket.url, advice) from error
    return {"allow_invalid_certificates": True} if verify is False else {}


def _hook(module: str, name: str, provider: str) -> Any:
    from importlib import import_module

    try:
        return getattr(import_module(f"airflow.providers.{module}"), name)
    except ImportError as error:
        advice = f"its connection needs Airflow's hook: pip install apache-airflow-providers-{provider}"
        raise SettingsError("path", f"airflow.providers.{module}", advice) from error
