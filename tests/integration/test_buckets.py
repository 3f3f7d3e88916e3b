"""What of an Airflow connection reaches the client of a bucket."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from locations import Locations, service_account
from proxy import Fault, Proxy

from airflow_xcom.backend import SettingsError, StoreDeniedError, StoreError
from airflow_xcom.backend.stores import connections as buckets
from airflow_xcom.backend.stores import open_store
from airflow_xcom.backend.stores.connections import Bucket
from airflow_xcom.backend.stores.s3_listings import abort_upload, list_uploads


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TESTS", json.dumps(fields))


def client(monkeypatch: pytest.MonkeyPatch, url: str, **fields: Any) -> Any:
    connect(monkeypatch, **fields)
    return Bucket.parse(url).client(120)


@pytest.mark.parametrize(
    ("extra", "bucket", "expected"),
    [
        ({}, "b", {"virtual_hosted_style_request": "true"}),
        ({}, "dotted.name", {"virtual_hosted_style_request": "false"}),
        ({"region_name": "eu-west-1"}, "b", {"region": "eu-west-1"}),
        ({"endpoint_url": "http://s3:9"}, "b", {"endpoint": "http://s3:9", "virtual_hosted_style_request": "false"}),
        (
            {"service_config": {"s3": {"endpoint_url": "http://s3"}}, "endpoint_url": "no"},
            "b",
            {"endpoint": "http://s3"},
        ),
        (
            {"endpoint_url": "https://s3", "config_kwargs": {"s3": {"addressing_style": "virtual"}}},
            "b",
            {"endpoint": "https://b.s3", "virtual_hosted_style_request": "true"},
        ),
        ({"config_kwargs": {"s3": {"addressing_style": "path"}}}, "b", {"virtual_hosted_style_request": "false"}),
    ],
)
def test_s3_address(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], bucket: str, expected: dict[str, str]
) -> None:
    made = client(monkeypatch, f"s3://tests@{bucket}/x/y/", conn_type="aws", login="AK", password="SK", extra=extra)
    found = {name: str(made.config.get(name)).lower() for name in expected}
    assert found == expected
    assert made.prefix == "x/y"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"login": "AK", "password": "SK"}, ("AK", "SK", None)),
        ({"extra": {"aws_access_key_id": "AK", "aws_secret_access_key": "SK"}}, ("AK", "SK", None)),
        ({"login": "AK", "password": "SK", "extra": {"aws_session_token": "T"}}, ("AK", "SK", "T")),
    ],
)
def test_s3_keys(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], expected: tuple[str | None, ...]) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of somebody else")
    found = client(monkeypatch, "s3://tests@b", conn_type="aws", **fields).credential_provider()
    assert (found["access_key_id"], found["secret_access_key"], found["token"]) == expected


def test_without_keys_the_environment_has_them(monkeypatch: pytest.MonkeyPatch, seaweedfs: SimpleNamespace) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweedfs.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweedfs.secret)
    connect(monkeypatch, conn_type="aws", extra={"endpoint_url": seaweedfs.endpoint})
    store = open_store("s3://tests@xcom/environment")
    store.put("a", [b"x"])
    assert store.delete("a")
    assert Bucket.parse("s3://xcom").client(1).credential_provider is None


class Hook:
    """As the hooks of Airflow's providers."""

    def __init__(self, **_: Any) -> None:
        pass

    def get_credentials(self) -> SimpleNamespace:
        return SimpleNamespace(access_key="AK", secret_key="SK", token="T", valid=True, expiry=None)


@pytest.mark.parametrize("extra", [{"role_arn": "arn:aws:iam::1:role/x"}, {"profile_name": "x"}])
def test_roles_and_profiles_are_left_to_airflows_hook(monkeypatch: pytest.MonkeyPatch, extra: dict[str, str]) -> None:
    monkeypatch.setattr(buckets, "_hook", lambda *_: Hook)
    found = client(monkeypatch, "s3://tests@b", conn_type="aws", extra=extra).credential_provider()
    assert (found["access_key_id"], found["secret_access_key"], found["token"]) == ("AK", "SK", "T")
    assert found["expires_at"].tzinfo


def test_impersonation_is_left_to_airflows_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "_hook", lambda *_: Hook)
    fields = {"conn_type": "google_cloud_platform", "extra": {"impersonation_chain": "x@example.org"}}
    assert client(monkeypatch, "gs://tests@b", **fields).credential_provider()["token"] == "T"


@pytest.mark.parametrize(
    ("scheme", "extra"), [("s3", {"role_arn": "arn:aws:iam::1:role/x"}), ("gs", {"impersonation_chain": "x"})]
)
def test_a_hook_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, scheme: str, extra: dict[str, str]
) -> None:
    for name in ("airflow.providers.amazon", "airflow.providers.google"):
        monkeypatch.setitem(sys.modules, name, None)
    connect(monkeypatch, conn_type="x", extra=extra)
    with pytest.raises(SettingsError, match="pip install apache-airflow-providers-"):
        open_store(f"{scheme}://tests@b/hook").put("a", [b"x"])


def test_google_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = json.dumps(service_account())
    file = tmp_path / "key.json"
    file.write_text(key)
    for extra in (
        {"keyfile_dict": key},
        {"keyfile_dict": service_account()},
        {"extra__google_cloud_platform__keyfile_dict": key},
        {"key_path": str(file)},
    ):
        config = client(monkeypatch, "gs://tests@b", conn_type="google_cloud_platform", extra=extra).config
        assert "google_service_account_key" in config or "service_account_key" in config or str(file) in config.values()
    for extra, option in (({"is_anonymous": True}, "skip_signature"), ({"gcs.endpoint": "http://g"}, "base_url")):
        assert option in client(monkeypatch, "gs://tests@b", conn_type="google_cloud_platform", extra=extra).config


KEY = "c29tZSBrZXk="


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"login": "acme", "password": KEY}, {"account_name": "acme", "account_key": KEY}),
        ({"host": "acme.blob.core.windows.net", "password": KEY}, {"account_name": "acme", "account_key": KEY}),
        ({"login": "acme", "extra": {"account_key": KEY}}, {"account_name": "acme", "account_key": KEY}),
        ({"login": "acme", "extra": {"shared_access_key": KEY}}, {"account_name": "acme", "account_key": KEY}),
        ({"login": "acme", "extra": {"extra__wasb__shared_access_key": KEY}}, {"account_key": KEY}),
        (
            {
                "host": "https://acme.blob.core.windows.net",
                "login": "id",
                "password": "pw",
                "extra": {"tenant_id": "t"},
            },
            {"account_name": "acme", "client_id": "id", "client_secret": "pw", "tenant_id": "t"},
        ),
        (
            {"login": "acme", "extra": {"managed_identity_client_id": "id"}},
            {"account_name": "acme", "client_id": "id"},
        ),
        (
            {"extra": {"connection_string": f"AccountName=acme;AccountKey={KEY};BlobEndpoint=http://h/acme/"}},
            {"account_name": "acme", "account_key": KEY, "endpoint": "http://h/acme"},
        ),
        (
            {"extra": {"connection_string": f"AccountName=acme;AccountKey={KEY};EndpointSuffix=core.windows.net"}},
            {"endpoint": "https://acme.blob.core.windows.net"},
        ),
    ],
)
def test_azure(monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], expected: dict[str, str]) -> None:
    config = client(monkeypatch, "abfs://tests@b", conn_type="wasb", **fields).config
    assert {name: config.get(name) for name in expected} == expected


def test_a_shared_access_signature_is_not_in_errors(
    locations: Locations, azurite: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is part of every address, which the client's errors quote."""
    with Proxy(azurite.endpoint, lambda *_: Fault(status=403)) as proxy:
        token = "sv=2021-12-02&sig=c2lnbmF0dXJl&sp=rw"
        locations.url("abfs", endpoint=proxy.url)
        connect(monkeypatch, conn_type="wasb", host=proxy.url, login=azurite.account, extra={"sas_token": token})
        with pytest.raises(StoreDeniedError) as caught:
            open_store("abfs://tests@xcom/sas").get("a")
        assert "sig=c2lnbmF0dXJl" in proxy.requests[0][1]
        assert "c2lnbmF0dXJl" not in f"{caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        ("gs://tests@b/1", {"extra": {"keyfile_dict": '{"private_key": "not-a-key", "client_email": "x"}'}}),
        ("abfs://tests@b/2", {"login": "acme", "password": "not-a-key!"}),
    ],
)
def test_a_connection_that_does_not_do_is_named(
    url: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, conn_type="x", **fields)
    with pytest.raises(SettingsError, match="in the Airflow connection 'tests' does not do") as caught:
        open_store(url).put("a", [b"x"])
    assert "not-a-key" not in str(caught.value)


def test_authorities_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"PEM")
    for verify in (None, True, "true", False, "False", str(tmp_path / "ca.pem")):
        connect(monkeypatch, conn_type="aws", extra={"verify": verify})
        options = Bucket.parse("s3://tests@b").account().options
        assert options.get("allow_invalid_certificates", False) is (verify in {False, "False"})
        assert options.get("root_certificate") == (b"PEM" if "ca.pem" in str(verify) else None)
    connect(monkeypatch, conn_type="aws", extra={"verify": str(tmp_path / "absent.pem")})
    with pytest.raises(SettingsError, match=r"absent\.pem' in the Airflow connection 'tests' names a file that cannot"):
        open_store("s3://tests@b/authorities").get("a")


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "airflow_xcom.backend.stores.object_store", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    for scheme, extra in {"s3": "s3", "gs": "gcs", "abfs": "azure"}.items():
        with pytest.raises(SettingsError, match=rf"needs obstore: .*airflow-xcom-codecs\[{extra}\]"):
            open_store(f"{scheme}://bucket/absent")


def test_without_botocore_a_rule_of_the_bucket_is_named(
    locations: Locations, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(locations.url("s3"))
    store.put("a", [b"x"])
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    assert [blob.path for blob in store.scan()] == ["a"]
    assert "botocore is not installed; give the bucket a lifecycle rule with AbortIncompleteMultipart" in caplog.text


def test_uploads_that_may_not_be_listed_are_told_and_left(
    locations: Locations, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(locations.url("s3"))
    store.put("a", [b"x"])
    bucket = Bucket.parse(locations.url("s3", login="AKIDNOBODY"))
    assert list(list_uploads(bucket, 10)) == []
    assert "does not list unfinished uploads: InvalidAccessKeyId; give" in caplog.text
    with pytest.raises(StoreError, match="cannot abort an unfinished upload: InvalidAccessKeyId"):
        abort_upload(bucket, 10, "a#b")
    assert abort_upload(Bucket.parse(locations.url("s3")), 10, "a#b") is False


def test_a_forked_process_is_told_rather_than_left_waiting(locations: Locations) -> None:
    """The threads of the client are the parent's; a child that asks them waits for ever."""
    url = locations.url("s3")
    code = f"""
        import os
        from airflow_xcom.backend import StoreError
        from airflow_xcom.backend.stores import open_store

        store = open_store({url!r})
        store.put("a", [b"x"])
        if os.fork() == 0:
            try:
                store.get("a")
            except StoreError as error:
                os._exit(7 if "forked" in str(error) else 8)
            os._exit(9)
        status = os.waitstatus_to_exitcode(os.wait()[1])
        assert bytes(store.get("a")) == b"x", "the parent goes on"
        raise SystemExit(status)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=240, check=False)
    assert done.returncode == 7


def test_a_process_that_was_forked_before_may_use_a_store(locations: Locations) -> None:
    url = locations.url("s3")
    code = f"""
        import os
        from airflow_xcom.backend.stores import open_store

        store = open_store({url!r})
        if os.fork() == 0:
            store.put("a", [b"x"])
            os._exit(0)
        raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=240, check=False)
    assert done.returncode == 0
    assert open_store(url).get("a") == b"x"


def test_a_store_error_is_an_os_error() -> None:
    assert issubclass(StoreDeniedError, PermissionError)
    assert issubclass(StoreDeniedError, StoreError)
