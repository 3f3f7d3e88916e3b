"""The [xcom_codecs] options."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from conftest import Backend

from airflow_xcom.backend import SettingsError
from airflow_xcom.backend.provider_info import get_provider_info
from airflow_xcom.backend.retention_policy import Term, keep, keep_published, sweep_after_run
from airflow_xcom.backend.settings import Settings, check_store, settings
from airflow_xcom.codecs.formats.compression import Compression
from airflow_xcom.codecs.testing import difference

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.installation

OPTIONS = {"path", "stores", "store_timeout", "threshold", "compression", "modules", "inexact", "legacy_backend"}
OPTIONS |= {
    "preview",
    "preserve_key_order",
    "keep",
    "keep_success",
    "keep_failed",
    "keep_published",
    "publish_assets",
    "retain_when_run_ends",
}
OPTIONS |= {"data_tab", "data_tab_render", "durable", "sweep_after_run"}


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OPTIONS:
        monkeypatch.delenv(f"AIRFLOW__XCOM_CODECS__{name.upper()}", raising=False)
    read = Settings.read()
    path = f"file://{os.environ['AIRFLOW_HOME']}/xcom"
    assert read == Settings(path=path, stores={"default": path})
    assert read.threshold == 49152
    assert [keep(), keep_published(), sweep_after_run()] == [{"": (Term("forever"),)}, (Term("forever"),), None]


def test_every_option_is_listed_by_airflow() -> None:
    assert set(get_provider_info()["config"]["xcom_codecs"]["options"]) == OPTIONS
    command = [sys.executable, "-m", "airflow", "config", "list", "--section", "xcom_codecs", "--show-values"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    listed = {line.partition(" = ")[0].removeprefix("# ") for line in done.stdout.splitlines() if " = " in line}
    assert listed == OPTIONS
    assert "threshold = 49152" in done.stdout
    assert "stores = {}" in done.stdout
    assert "{AIRFLOW_HOME}" not in done.stdout


WRONG = [
    ("threshold", "many", "whole number"),
    ("threshold", "-2", "-1 to offload nothing"),
    ("threshold", "1.5", "whole number"),
    ("store_timeout", "0", "at least 1"),
    ("durable", "perhaps", "give True or False"),
    ("store_timeout", "soon", "whole number"),
    ("compression", "gzip", "give none, lz4, zstd"),
    ("compression", "zstd:", "is not a compression"),
    ("compression", "zstd:fast", "is not a compression"),
    ("compression", "zstd:0", "level from 1 to 22"),
    ("compression", "zstd:23", "level from 1 to 22"),
    ("compression", "lz4:3", "has no level 3"),
    ("compression", "auto:3", "has no level 3"),
    ("compression", "", "give none, lz4"),
    ("path", "/srv/xcom", "needs a URL"),
    ("path", "unknown-store", "needs a URL.*or a name in 'stores'"),
    ("stores", "{", "JSON object"),
    ("stores", "[]", "names and URLs"),
    ("stores", '{"a": 1}', "names and URLs"),
    ("stores", '{"a": "/srv"}', "needs a URL"),
    ("stores", '{"default": "file:///a"}', "another name"),
    ("preserve_key_order", "perhaps", "True or False"),
    ("legacy_backend", "nothing.Here", "cannot be imported"),
    ("legacy_backend", "nothing", "cannot be imported"),
    ("legacy_backend", "os.path", "not an XCom backend"),
    ("legacy_backend", "pathlib.Path", "not an XCom backend"),
]


@pytest.mark.parametrize(("option", "value", "remedy"), WRONG)
def test_a_wrong_option_is_named_at_push_and_pull(backend: Backend, option: str, value: str, remedy: str) -> None:
    row = backend.push((1,))
    backend.options(**{option: value})
    for act in (lambda: backend.push((1,)), lambda: backend.pull([1])):
        with pytest.raises(SettingsError, match=remedy) as caught:
            act()
        assert caught.value.option == option
        assert f"[xcom_codecs] {option}" in str(caught.value)
    backend.purge(row)


@pytest.mark.parametrize(
    ("read", "option", "value", "remedy"),
    [
        (keep, "keep", "", "give forever, an age such as"),
        (keep, "keep", "7d, 5", "'5' is no time to keep values"),
        (keep, "keep_success", "soon", "'soon' is no time"),
        (keep, "keep_failed", "7d,", "'' is no time"),
        (keep_published, "keep_published", "5runs", "5versions"),
        (sweep_after_run, "sweep_after_run", "5runs", "an age such as 1d"),
        (sweep_after_run, "sweep_after_run", "1d, 2d", "an age such as 1d"),
        (sweep_after_run, "sweep_after_run", "forever", "an age such as 1d"),
        (sweep_after_run, "sweep_after_run", "86400", "give an age such as 1d, or nothing"),
    ],
)
def test_a_wrong_option_of_retention_is_named_where_it_is_read_and_fails_no_task(
    backend: Backend, read: Callable[[], Any], option: str, value: str, remedy: str
) -> None:
    backend.options(**{option: value})
    with pytest.raises(SettingsError, match=remedy) as caught:
        read()
    assert caught.value.option == option
    assert backend.pull(backend.push((1,))) == (1,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", Compression()),
        ("LZ4", Compression("lz4")),
        ("zstd", Compression("zstd")),
        ("zstd:22", Compression("zstd", 22)),
        ("auto", Compression("auto")),
    ],
)
def test_compressions(backend: Backend, text: str, expected: Compression) -> None:
    backend.options(compression=text)
    assert settings().compression == expected
    assert Compression.parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pass-word@host:6379/0?ttl=60", "redis://user:***@host:6379/0?ttl=60"),
        ("redis://:pass-word@host/0", "redis://:***@host/0"),
        ("redis://user:pass-word@and-more@host/0", "redis://user:***@host/0"),
        ("abfs://container/x?sig=pass-word&ttl=60&key=pass-word", "abfs://container/x?sig=***&ttl=60&key=***"),
        ("file:///srv/xcom", "file:///srv/xcom"),
    ],
)
def test_no_password_of_a_url_is_in_an_error(url: str, shown: str) -> None:
    for value, expected in ((url, shown), ({"old": url}, {"old": shown})):
        error = SettingsError("stores", value, "give another")
        assert error.value == expected
        assert str(error) == f"[xcom_codecs] stores = {expected!r}: give another"


def test_a_store_that_is_missing_is_told_by_names_alone(backend: Backend) -> None:
    backend.options(stores=json.dumps({"old": "redis://user:pass word@host/0"}))
    with pytest.raises(SettingsError, match=r"stores = '.*old.*': no store is called 'odl'") as caught:
        check_store("odl")
    assert "word" not in str(caught.value)


def test_a_store_over_a_network_is_told_from_a_folder() -> None:
    stores = {"near": "file:///srv/xcom", "far": "s3://bucket/xcom"}
    made = Settings(path=stores["near"], name="near", stores=stores, compression=Compression("auto"))
    assert [made.compression_for(name).is_far for name in stores] == [False, True]


@pytest.mark.parametrize(("text", "expected"), [("True", True), ("0", False), ("t", True), ("false", False)])
def test_booleans(backend: Backend, text: str, expected: bool) -> None:
    backend.options(preserve_key_order=text)
    assert settings().preserve_key_order is expected


def test_how_long_values_are_kept_may_differ_by_the_state_of_the_run(backend: Backend) -> None:
    assert {state: [term.text for term in terms] for state, terms in keep().items()} == {"": ["forever"]}
    backend.options(keep=" 30d , 5runs", keep_failed="90d")
    texts = {state: [term.text for term in terms] for state, terms in keep().items()}
    assert texts == {"": ["30d", "5runs"], "failed": ["90d"]}


def test_the_store_to_write_to_may_be_named(backend: Backend, tmp_path: Path) -> None:
    backend.options(path="fast", stores=f'{{"fast": "{(tmp_path / "f").as_uri()}"}}', threshold=0)
    row = backend.push((1,))
    assert row["airflow_xcom"]["ref"]["store"] == "fast"
    assert settings().stores == {"fast": (tmp_path / "f").as_uri()}
    assert backend.pull(row) == (1,)


def test_an_option_that_nothing_reads_is_logged_once(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__XCOM_CODECS__COMPRESION", "zstd")
    backend.options(compression="lz4")
    for _ in range(2):
        backend.push((1,))
    assert [text for text in caplog.messages if "no option" in text] == [
        "[xcom_codecs] has no option compresion, so it does nothing; docs/CONFIGURATION.md has all"
    ]


def test_an_example_can_be_copied_from_airflow_cfg(backend: Backend) -> None:
    options = get_provider_info()["config"]["xcom_codecs"]["options"]
    examples = {name: option["example"] for name, option in options.items()}
    read = {name: examples[name] for name in ("stores", "store_timeout", "threshold", "compression", "preview")}
    backend.options(**read)
    assert settings().stores["old"] == "file:///mnt/old/xcom"


def test_options_are_read_once(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    first = settings()
    monkeypatch.setenv("AIRFLOW__XCOM_CODECS__THRESHOLD", "5")
    assert settings() is first


MODULE = """
from airflow_xcom.codecs import codec
class Gear:
    pass
@codec("settings.gear", handles=Gear, replace=True)
class GearCodec:
    def encode(self, value): return 1
    def decode(self, node, version): return Gear()
"""


def test_modules_are_imported_before_the_first_pull(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_xcom.backend import pull as pulling

    (tmp_path / "settings_codecs.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    row = backend.push((1,))
    row["airflow_xcom"]["data"] = {"$": ["settings.gear", 1, 1]}
    backend.options(modules=" settings_codecs , ")
    pulling.prepare.cache_clear()
    assert type(backend.pull(row)).__name__ == "Gear"
    pulling.prepare.cache_clear()
    backend.options(modules="settings_codecs_missing")
    with pytest.raises(
        ValueError, match=r"cannot import 'settings_codecs_missing', which \[xcom_codecs\] modules names: No module"
    ):
        backend.pull(row)


OBJECT_STORAGE = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"


def test_a_legacy_backend_reads_and_purges_its_rows(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.common.io.xcom import backend as legacy

    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH", (tmp_path / "old").as_uri())
    monkeypatch.setenv("AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD", "10")
    for cached in (legacy._get_base_path, legacy._get_threshold, legacy._get_compression):
        cached.cache_clear()
    value = {"rows": list(range(100))}
    row = legacy.XComObjectStorageBackend.serialize_value(value, dag_id="d", run_id="r", task_id="t")
    assert isinstance(row, str)
    assert backend.pull(row) == row, "without the option it is text"
    backend.options(legacy_backend=OBJECT_STORAGE)
    assert backend.pull(row) == value
    text = backend.push(row)
    assert set(text) == {"airflow_xcom"}, "text that the former backend would take for a reference"
    assert difference(row, backend.pull(text)) is None
    backend.purge(text)
    assert backend.pull(row) == value
    backend.purge(row)
    assert not [path for path in (tmp_path / "old").rglob("*") if path.is_file()]
    for cached in (legacy._get_base_path, legacy._get_threshold, legacy._get_compression):
        cached.cache_clear()


class Coordinate(SimpleNamespace):
    """As Airflow 3.4's XComCoordinate."""


def test_both_pairs_of_hooks_do_the_same(backend: Backend) -> None:
    from airflow_xcom.backend import CodecXComBackend

    coordinate: Any = Coordinate(dag_id="d", run_id="r", task_id="t", ti_id=None, region_id=None, region_index=4)
    row = CodecXComBackend.store_value(coordinate, "k", (1, 2))
    assert row == backend.push((1, 2), key="k", dag_id="d", run_id="r", task_id="t", map_index=4)
    assert CodecXComBackend.load_value(row) == (1, 2)
    assert CodecXComBackend.load_value(5) == 5
