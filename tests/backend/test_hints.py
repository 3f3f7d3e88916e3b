"""``stored(value, ...)``: one value goes elsewhere than the options say, and comes back as ever."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Backend
from valkey_server import Valkey

from airflow_xcom.backend import HintError, stored
from airflow_xcom.backend.compat import serde
from airflow_xcom.backend.hints import Stored
from airflow_xcom.codecs import UnsupportedTypeError
from airflow_xcom.codecs.testing import difference

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]})


@pytest.fixture
def archive(backend: Backend, tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    backend.options(stores=f'{{"archive": "{folder.as_uri()}"}}')
    return folder


def reference(row: Any) -> Any:
    return row["airflow_xcom"].get("ref")


@pytest.mark.parametrize("value", [FRAME, 5, "text", False, [], {"plain": [1, 2]}, np.arange(3), 2**70], ids=str)
def test_a_value_goes_to_the_store_of_the_hint_and_comes_back(backend: Backend, archive: Path, value: Any) -> None:
    row = backend.push(stored(value, store="archive"))
    assert reference(row)["store"] == "archive"
    assert (archive / reference(row)["path"]).is_file()
    assert not backend.blobs()
    assert difference(value, backend.pull(row)) is None


def test_the_next_value_goes_where_the_options_say(backend: Backend, archive: Path) -> None:
    backend.push(stored(FRAME, store="archive"))
    assert reference(backend.push(np.arange(10_000)))["store"] == "default"
    assert reference(backend.push(FRAME)) is None


def test_inline_keeps_a_large_value_in_the_row(backend: Backend) -> None:
    array = np.arange(50_000)
    row = backend.push(stored(array, inline=True))
    assert "data" in row["airflow_xcom"]
    assert not backend.blobs()
    assert difference(array, backend.pull(row)) is None
    plain = ["a plain value of more than 48 KiB"] * 5000
    assert backend.push(stored(plain, inline=True)) == plain


@pytest.mark.parametrize("value", [FRAME, {"small": 1}, "text"], ids=type)
def test_not_inline_offloads_a_small_value(backend: Backend, value: Any) -> None:
    row = backend.push(stored(value, inline=False))
    assert reference(row)["store"] == "default"
    assert difference(value, backend.pull(row)) is None


def test_nothing_but_the_hint_overrides_a_threshold_of_minus_one(backend: Backend) -> None:
    backend.options(threshold=-1)
    assert reference(backend.push(stored(FRAME, inline=False))) is not None
    assert reference(backend.push(stored(FRAME))) is None


def test_a_hint_around_none_is_none() -> None:
    assert stored(None, inline=False) is None


# -- a time to live ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.mark.parametrize("query", ["", "?ttl=900"], ids=["for good", "900 s"])
@pytest.mark.parametrize("named", [False, True], ids=["path", "named"])
def test_a_value_lives_as_long_as_its_hint_says(backend: Backend, server: Valkey, query: str, named: bool) -> None:
    url = server.url(query=query)
    backend.options(**{"stores": json.dumps({"cache": url})} if named else {"path": url})
    hint = {"store": "cache"} if named else {}
    began = time.time()
    row = backend.push(stored({"small": 1}, ttl=600, **hint))
    with server.client() as client:
        assert 500 < client.ttl(f"xcom/{reference(row)['path']}") <= 600
    assert int(began) + 600 <= reference(row)["expires"] <= time.time() + 600
    assert reference(row)["url"] == url.partition("?")[0]
    assert backend.pull(row) == {"small": 1}
    later = backend.push(stored({"small": 2}, inline=False, **hint))
    assert reference(later).get("expires") is None or reference(later)["expires"] > time.time() + 800


# -- what cannot be done -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        ({"compression": "gzip"}, "compression='gzip'.*give none"),
        ({"ttl": 0}, "ttl=0.*at least 1"),
        ({"ttl": 1.5}, "ttl=1.5.*whole seconds"),
        ({"ttl": True}, "ttl=True.*whole seconds"),
        ({"inline": True, "store": "archive"}, "inline=True.*no store"),
        ({"inline": True, "ttl": 60}, "inline=True.*time to live"),
    ],
)
def test_a_hint_that_says_nothing_sensible_is_refused_where_it_is_given(hint: dict[str, Any], message: str) -> None:
    with pytest.raises(HintError, match=message) as caught:
        stored(FRAME, **hint)
    assert caught.value.hint in hint


def test_a_store_that_is_not_configured_is_refused_with_those_that_are(backend: Backend, archive: Path) -> None:
    with pytest.raises(HintError, match=r"store='archiv'.*no store but archive, default.*task=clean.*key=return_value"):
        backend.push(stored(FRAME, store="archiv"))
    assert not backend.blobs()


def test_a_time_to_live_is_refused_where_values_do_not_expire(backend: Backend, archive: Path) -> None:
    with pytest.raises(HintError, match="ttl=60.*'archive' keeps values;"):
        backend.push(stored(FRAME, store="archive", ttl=60))


def test_airflows_own_backend_is_told_from_ours() -> None:
    with pytest.raises(HintError, match=r"DataFrame.*: a hint needs \[core\] xcom_backend = airflow_xcom.backend"):
        serde().serialize(stored(FRAME, inline=False))


def test_two_hints_are_one_too_many() -> None:
    with pytest.raises(HintError, match="give both in one call"):
        stored(stored(FRAME, inline=False), store="archive")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([1, stored(FRAME, inline=False)], "value[1]"),
        ({"a": {"b": (stored([1], inline=False),)}}, 'value["a"]["b"][0]'),
        ({"a": stored({"x": 1}, inline=True)}, 'value["a"]'),
    ],
)
def test_a_hint_within_a_value_is_refused_with_its_place(backend: Backend, value: Any, path: str) -> None:
    with pytest.raises(
        UnsupportedTypeError, match=r"around all of it.*key of its own.*multiple_outputs=True"
    ) as caught:
        backend.push(value)
    assert caught.value.path == path
    assert not backend.blobs()


# -- multiple outputs ----------------------------------------------------------------------------------------


def test_with_multiple_outputs_each_key_has_a_hint(backend: Backend, archive: Path) -> None:
    outputs = {"kept": stored(FRAME, store="archive"), "count": 3, "cache": stored(FRAME, inline=False)}
    rows = {key: backend.push(item, key=key) for key, item in outputs.items()}  # in Airflow's order
    whole = backend.push(outputs)
    assert reference(rows["kept"])["store"] == "archive"
    assert reference(rows["cache"])["store"] == "default"
    assert rows["count"] == 3
    assert reference(whole) is None
    assert difference({"kept": FRAME, "count": 3, "cache": FRAME}, backend.pull(whole)) is None


def test_the_dict_of_multiple_outputs_may_have_a_hint_too(backend: Backend, archive: Path) -> None:
    outputs = stored({"kept": stored(FRAME, inline=False)}, store="archive")
    for key, item in outputs.items():
        backend.push(item, key=key)
    assert reference(backend.push(outputs))["store"] == "archive"


def test_a_hint_that_served_for_another_key_or_task_does_not_serve_here(backend: Backend) -> None:
    hinted = stored(FRAME, inline=False)
    backend.push(hinted, key="b")
    with pytest.raises(UnsupportedTypeError):
        backend.push({"a": hinted})
    backend.push(hinted, key="a", task_id="other")
    with pytest.raises(UnsupportedTypeError):
        backend.push({"a": hinted})


# -- what Airflow sees ---------------------------------------------------------------------------------------


def test_to_airflow_a_hinted_value_is_the_value() -> None:
    from airflow.sdk.definitions.mappedoperator import is_mappable_value

    assert is_mappable_value(stored([1, 2], inline=False))
    assert len(stored([1, 2], inline=False)) == 2
    assert list(stored([1, 2], inline=False)) == [1, 2]
    assert stored([1, 2], inline=False)[1] == 2
    assert isinstance(stored({"a": 1}, inline=False), dict)
    assert is_mappable_value(stored({"a": 1}, inline=False))
    assert not is_mappable_value(stored("text", inline=False))
    assert not is_mappable_value(stored(FRAME, inline=False))
    assert not stored(False, inline=False)
    assert "[1, 2]" in repr(stored([1, 2], inline=False))


def test_a_hinted_value_can_be_copied(backend: Backend) -> None:
    row = backend.push(copy.deepcopy(stored(FRAME, inline=False)))
    assert reference(row) is not None


@pytest.mark.parametrize("make", [lambda value: stored(value, inline=False), copy.deepcopy])
def test_the_first_hint_of_a_process_is_seen(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, make: Callable[[Any], Any]
) -> None:
    before = stored([1], inline=False) if make is copy.deepcopy else [1]
    monkeypatch.setattr(Stored, "any_here", False)
    outputs = {"a": make(before)}
    rows = {key: backend.push(item, key=key) for key, item in outputs.items()}
    assert reference(rows["a"]) is not None
    assert backend.pull(backend.push(outputs)) == {"a": [1]}
