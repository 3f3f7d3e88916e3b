"""The commands that look at assets and their versions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from asset_world import EVENT, F, G, World
from conftest import Backend
from owners import adopted

from airflow_xcom.backend import cli
from airflow_xcom.backend.database import paging
from airflow_xcom.backend.database.dag_runs import Runs
from airflow_xcom.backend.database.paging import read
from airflow_xcom.backend.maintenance.sweep import Report, sweep
from airflow_xcom.backend.ui import comparison

Cli = Callable[..., tuple[int, str, str]]
ONE = pd.DataFrame({"id": [1, 2, 3], "delay": [0.5, 1.5, 2.5]})
OTHER = pd.DataFrame({"id": [1, 2, 4, 5], "delay": [0.5, np.nan, 2.5, 3.5], "gate": ["a"] * 4})


@pytest.fixture
def world(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(monkeypatch)
    database = "airflow_xcom.backend.database"
    monkeypatch.setattr(f"{database}.asset_versions.metadata_events", lambda: made.events)
    monkeypatch.setattr(f"{database}.xcom_rows.metadata_rows", lambda: made.rows)
    adopted(made.rows)
    yield made
    made.engine.dispose()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Cli:
    def command(*line: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main([str(part) for part in line])
        told = capsys.readouterr()
        return code, told.out, told.err

    return command


@pytest.fixture
def numbers(world: World) -> list[int]:
    found = [world.make(value, f"run {number}") for number, value in enumerate((ONE, OTHER, OTHER))]
    world.make({"a": 1}, "run", G, partition="x")
    return found


def test_assets_lists_those_with_values(world: World, run: Cli, numbers: list[int]) -> None:
    assert run("tag", "flights", numbers[0], "golden")[0] == 0
    code, out, _ = run("assets", "--output", "json")
    flights, trains = map(json.loads, out.splitlines())
    assert code == 0
    assert (flights["asset"], flights["uri"], flights["events"], flights["tags"]) == (F.name, F.uri, 3, ["golden"])
    assert (trains["asset"], trains["events"], trains["kept"]) == (
        G.name,
        1,
        "[xcom_codecs] keep_published = forever",
    )
    assert "golden" in run("assets")[1]


def test_assets_reads_few_of_many_events(world: World, run: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [world.make(ONE, f"run {number}") for number in range(20)]
    sizes = []

    def counted(*arguments: Any) -> Any:
        found = read(*arguments)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(paging, "read", counted)
    facts = json.loads(run("assets", "--output", "json")[1])
    assert facts["events"] == len(made)
    assert 0 < max(sizes) < len(made)
    sizes.clear()
    assert run("inspect", "--asset", "flights", "--version", made[0])[0] == 0
    assert max(sizes) == 1
    assert run("inspect", "--asset", "flights", "--version", 10**30)[0] == 1


def test_without_values_there_is_nothing_to_list(world: World, run: Cli) -> None:
    world.asset_id(F)
    assert run("assets")[1] == "There are no assets with values\n"
    assert run("versions", "flights")[1] == "There are no such versions\n"


def test_versions_lists_them_the_newest_first(
    world: World, backend: Backend, run: Cli, numbers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.options(keep_published="1versions")
    run("tag", "flights", numbers[0], "golden")
    monkeypatch.setattr("airflow_xcom.backend.database.dag_runs.metadata_runs", lambda: _runs(world))
    code, out, _ = run("retain", "--apply", "--asset", "flights")
    assert code == 0
    assert "1 versions of assets" in out
    assert "1 retired" in out
    found = [json.loads(line) for line in run("versions", "flights", "--output", "json")[1].splitlines()]
    assert [each["version"] for each in found] == numbers[::-1]
    assert [each["tags"] for each in found] == [[], [], ["golden"]]
    assert [bool(each["retired"]) for each in found] == [False, True, False]
    assert "keep_published = 1versions" in found[1]["retired"]
    assert (found[0]["dag_id"], found[0]["run_id"], found[0]["tag"]) == ("producer", "run 2", "pandas.DataFrame")
    assert len(run("versions", F.uri, "--limit", 2, "--output", "json")[1].splitlines()) == 2
    assert "golden" in run("versions", "flights")[1]
    assert run("versions", "trains", "--partition", "y")[1] == "There are no such versions\n"


class _Bare(Runs):
    def __init__(self, world: World) -> None:
        self._engine, self._schema = world.engine, None


def _runs(world: World) -> Runs:
    return _Bare(world)


def test_a_tag_is_given_moved_and_taken_away(world: World, run: Cli, numbers: list[int]) -> None:
    assert run("tag", "flights", numbers[0], "golden")[1] == f"flights: version {numbers[0]} is golden\n"
    code, out, _ = run("tag", "flights", numbers[1], "golden")
    assert (code, out) == (
        0,
        f"flights: version {numbers[1]} is golden, and version {numbers[0]} is not any more\n",
    )
    assert run("tag", "flights", "golden", "v1")[1] == f"flights: version {numbers[1]} is v1\n"
    assert run("tag", "flights", "golden", "--remove")[1] == f"flights: version {numbers[1]} is not golden any more\n"
    code, _, error = run("tag", "flights", "golden", "--remove")
    assert (code, "no version of the asset 'flights' has the tag 'golden'" in error) == (1, True)
    code, _, error = run("tag", "flights", "golden")
    assert (code, "say which version" in error) == (1, True)


@pytest.mark.parametrize("which", ["latest", "number", "tag"])
def test_a_version_is_inspected_and_exported(
    world: World, run: Cli, numbers: list[int], tmp_path: Path, which: str
) -> None:
    run("tag", "flights", numbers[0], "golden")
    version = {"latest": [], "number": ["--version", numbers[0]], "tag": ["--version", "golden"]}[which]
    expected = OTHER if which == "latest" else ONE
    code, out, _ = run("inspect", "--asset", "flights", *version, "--output", "json")
    facts = json.loads(out)
    assert (code, facts["tag"], facts["outline"]["rows"]) == (0, "pandas.DataFrame", len(expected))
    file = tmp_path / "file.parquet"
    assert run("export", "--asset", "flights", *version, "--to", file)[0] == 0
    assert pd.read_parquet(file)["id"].tolist() == expected["id"].tolist()


def test_a_tag_is_enough_when_the_event_is_gone(world: World, run: Cli, numbers: list[int]) -> None:
    run("tag", "flights", numbers[0], "golden")
    world.delete(EVENT)
    assert run("inspect", "--asset", "flights", "--version", "golden")[0] == 0
    code, _, error = run("inspect", "--asset", "flights")
    assert (code, "the asset 'flights' has no version" in error) == (1, True)


def test_versions_are_verified(world: World, backend: Backend, run: Cli, numbers: list[int]) -> None:
    code, out, _ = run("verify", "--asset", "flights")
    assert (code, out.startswith("3 ok; ")) == (0, True)
    backend.options(keep_published="2versions")
    from airflow_xcom.backend.assets.retention import retire_versions

    list(retire_versions(world.events, world.rows, apply=True))
    for _ in sweep(adopted(world.rows), Report(), grace=0, wait=0, apply=True):
        pass
    assert run("verify", "--asset", "flights")[1].startswith("2 ok, 1 retired; ")
    blob = next(path for path in backend.blobs() if "flights" in str(path.parent) and "assets" in str(path))
    blob.write_bytes(b"damaged")
    code, out, _ = run("verify", "--asset", "flights", "--output", "json")
    assert (code, json.loads(out.splitlines()[0])["state"]) == (1, "corrupt")
    assert len(run("verify", "--asset", "flights", "--version", numbers[2])[1].splitlines()) <= 3


def test_two_versions_are_compared(world: World, run: Cli, numbers: list[int]) -> None:
    code, out, _ = run("diff", "--asset", "flights", numbers[0], numbers[1], "--output", "json")
    facts = json.loads(out)
    assert (code, facts["differ"], facts["rows"]) == (1, True, [3, 4])
    assert facts["schema"] == ["column 'gate' was added"]
    assert facts["columns"] == {"id": 1, "delay": 1}
    text = run("diff", "--asset", "flights", numbers[0], numbers[1])[1]
    assert "schema: column 'gate' was added\nrows: 3, then 4\n" in text
    code, out, _ = run("diff", "--asset", "flights", numbers[1], numbers[2])
    assert (code, out) == (0, "rows: 4\nthe cells of the first 4 rows are the same\n")


def test_what_is_not_compared_is_told(
    world: World, run: Cli, numbers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = comparison.comparison

    def partly(*versions: Any) -> Any:
        *parts, last = whole(*versions)
        return [*parts, {"differing": {**last["differing"], "partial": {"id": 2}}}]

    monkeypatch.setattr(comparison, "_COLUMNS", 1)
    monkeypatch.setattr("airflow_xcom.backend.commands.diff.comparison", partly)
    code, out, _ = run("diff", "--asset", "flights", numbers[1], numbers[2])
    assert (code, out.splitlines()[1:]) == (
        0,
        [
            "the cells that were compared are the same",
            "the payloads are the same",
            "of id, only the first 2 of 4 rows were compared, for lack of time",
            "2 columns were not compared: there are too many",
        ],
    )


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (
            pa.table([[1, 2], [1, 2]], names=["a", "a"]),
            pa.table([[1, 2], [7, 8]], names=["a", "a"]),
            "2 columns were not compared: their names are those of columns before them",
        ),
        (
            pa.table({"a": [1, 2], "password": ["x", "y"]}),
            pa.table({"a": [1, 2], "password": ["p", "q"]}),
            "not compared, as Airflow masks columns of these names: password",
        ),
    ],
    ids=["repeated", "masked"],
)
def test_tables_that_differ_in_what_is_not_compared_differ(
    one: pa.Table, other: pa.Table, said: str, world: World, run: Cli
) -> None:
    found = [world.make(value, f"run {number}") for number, value in enumerate((one, other, other))]
    told = "rows: 2\nthe cells that were compared are the same\nthe payloads {}\n" + said + "\n"
    assert run("diff", "--asset", "flights", *found[:2])[:2] == (1, told.format("differ"))
    assert run("diff", "--asset", "flights", *found[1:])[:2] == (0, told.format("are the same"))
    code, out, _ = run("diff", "--asset", "flights", *found[:2], "--output", "json")
    facts = json.loads(out)
    assert (code, facts["differ"], facts["columns"]) == (1, True, {})
    assert facts["repeated"] == 2 or facts["masked"] == ["password"]


def test_values_that_are_no_tables_are_compared_as_a_whole(world: World, run: Cli) -> None:
    found = [world.make(value, f"run {number}") for number, value in enumerate(({"a": 1}, {"a": 2}, {"a": 2}))]
    assert run("diff", "--asset", "flights", found[0], found[1])[:2] == (1, "the payloads differ\n")
    assert run("diff", "--asset", "flights", found[1], found[2])[:2] == (0, "the payloads are the same\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["versions", "nothing"], "there is no asset 'nothing'; there are flights, trains"),
        (["inspect", "--asset", "flights", "--version", "999"], "the asset 'flights' has no version 999"),
        (
            ["inspect", "--asset", "flights", "--version", "gold"],
            "no version of the asset 'flights' has the tag 'gold'",
        ),
        (["inspect", "--asset", "trains"], "'trains' are of a partition, such as x: say which by --partition"),
        (["tag", "flights", "999", "golden"], "the asset 'flights' has no version 999"),
    ],
)
def test_what_is_not_there_is_told(world: World, run: Cli, numbers: list[int], line: list[str], said: str) -> None:
    code, _, error = run(*line)
    assert (code, said in error) == (1, True), error


def test_a_partition_is_chosen(world: World, run: Cli, numbers: list[int]) -> None:
    assert run("inspect", "--asset", "trains", "--partition", "x")[0] == 0
    code, _, error = run("inspect", "--asset", "trains", "--partition", "y")
    assert (code, "of the partition 'y'" in error) == (1, True)
