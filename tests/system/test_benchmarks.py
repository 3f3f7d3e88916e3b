"""The benchmarks run once, small, as ordinary tests; nothing is asserted about time."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
sys.path.append(str(ROOT))

from benchmarks import advice, command, fresh, memory, remote, report, tables, targets, ways, workloads  # noqa: E402
from benchmarks.results import Measured, Result, Run, fit, slope  # noqa: E402
from benchmarks.tried import TRIED  # noqa: E402

QUICK = workloads.workloads(["10 KB"])


def run(*arguments: str | Path, code: int = 0, **options: object) -> str:
    command = [sys.executable, str(BENCHMARKS), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def quick(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    small = ("--quick", "--sizes", "10 KB", "--scale", "0.001", "--rounds", "1")
    run(*small, "--ways", "pickle-5", "limit", "--report", folder)
    return folder


@pytest.fixture(scope="module")
def found(quick) -> Run:
    return Run.load(quick / "results.json")


def test_every_workload_is_measured_and_comes_back_exact(found):
    assert [result.name for result in found.results] == [workload.name for workload in QUICK]
    assert {result.family for result in found.results} == set(workloads.FAMILIES)
    for result in found.results:
        assert set(result.ways) == {"ours", "pickle-5", "limit"}
        for way, measured in result.ways.items():
            assert measured.refused is None
            assert measured.differs is None
            assert all(seconds > 0 for part in ("push", "pull") for seconds in measured.seconds[part]), (result, way)
            assert measured.disk > 0
            assert measured.seconds.get("encode", []) != [] or way == "limit"


def test_the_slopes_of_sets_are_measured_beside_those_of_python() -> None:
    command = [sys.executable, str(BENCHMARKS / "slopes.py"), "100", "200", "--only", "set of ints"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    head, *measured, rise, over = lines
    assert head.split() == ["set", "of", "ints", "push", "pull", "pickle-5", "its", "loads", "elsewhere", "set(list)"]
    assert [line.split()[0] for line in measured] == ["100", "200"]
    slopes = [float(number) for number in rise.split()[1:]]
    assert len(slopes) == 6
    assert [float(number) for number in over.split()[2:]] == pytest.approx(
        [one - slopes[-1] for one in slopes[:-1]], abs=0.02
    )


def test_a_profile_says_where_the_time_goes():
    said = run("--profile", "--only", "records", "string frame", "--sizes", "1 MB", "--scale", "0.01")
    tables = said.split("### ")[1:]
    assert [table.split(",")[0] for table in tables] == ["string frame", "records", "records"]
    for table in tables:
        shares = {
            line.split("|")[1].strip(): float(line.split("|")[-2].strip(" %"))
            for line in table.splitlines()
            if line.endswith("% |")
        }
        assert shares["**push**"] == shares["**pull**"] == 100
        assert min(shares["push: encode"], shares["pull: decode"]) > 0
        assert "codecs/formats/" in table


def test_the_system_says_what_memory_a_value_takes(found):
    frame = found.find("numeric frame, 100 MB")
    assert frame is not None
    assert all(set(measured.extra) == {"push", "pull"} for measured in frame.ways.values())


def test_the_peak_of_memory_is_that_of_the_system_and_begins_anew():
    size = 64 << 20
    assert memory.forget_peak()
    before = memory.current()
    bytearray(size)
    assert memory.peak() - before > 0.9 * size
    assert memory.forget_peak()
    assert memory.peak() - memory.current() < 0.1 * size


def test_every_target_that_was_measured_has_a_verdict(found):
    verdicts = targets.verdicts(found)
    bases = ("stock serde", "fsync")
    unknown = {one.work for one in verdicts if one.is_met is None and not any(base in one.target for base in bases)}
    others = "extra peak|row of|slope|flights, .* auto|array, .* auto|S3, 1 KB|Valkey, 1 KB"
    assert not [work for work in unknown if not re.match(others, work)]


@pytest.mark.parametrize("work", remote.REMOTE)
def test_a_server_takes_and_gives_back(work, tmp_path):
    code = (
        "import json, sys, pathlib, benchmarks.remote as r; print(json.dumps(r.remote(sys.argv[1], pathlib.Path(), 2)))"
    )
    options = {"env": {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, "cwd": tmp_path}
    done = subprocess.run([sys.executable, "-c", code, work], capture_output=True, text=True, check=True, **options)
    times = json.loads(done.stdout.splitlines()[-1])
    assert {way: len(seconds) for way, seconds in times.items()} == {"ours": 2, "bare client": 2}
    verdict = next(one for one in targets.verdicts(Run(remote={work: times})) if one.work == work)
    assert verdict.is_met is not None


def test_what_flushes_nothing_is_compared_with_a_pickle_that_does_not_either():
    name = "float block, 1,000 columns"
    taken = {"ours": 6.0, "ours, unflushed": 3.0, "pickle-5": 2.0, "limit, fsync": 5.0}
    measured = {way: Measured(seconds={"push": [took], "pull": [0.0], "json": [0.0]}) for way, took in taken.items()}
    run = Run(results=[Result(name, "float block", "", 93_000, measured)])
    (table,) = [table for table in tables.tables(run) if table.title == "Like for like"]
    assert table.rows == [(name, "≤ 2", "3.00", "1.50", "2.50")]
    del measured["ours, unflushed"]
    assert not list(targets.unflushed(run))


def test_peak_memory_is_told_in_the_memory_of_the_value():
    name = "dataclasses, 10 MB"
    measured = Measured(extra={"push": 30, "pull": 90})
    run = Run(results=[Result(name, "dataclasses", "10 MB", 5, {"ours": measured}, memory=30)])
    verdicts = {one.work: one for one in targets.verdicts(run) if name in one.work}
    assert verdicts[f"extra peak memory, {name}, push"].is_met is True
    assert verdicts[f"extra peak memory, {name}, pull"].is_met is False
    assert verdicts[f"extra peak memory, {name}, pull"].measured.startswith("3.00")


def test_floors_are_the_sum_of_their_parts(found):
    assert len(found.floors) == 4
    for parts in found.floors.values():
        for whole in ("push", "pull"):
            assert parts[whole] == pytest.approx(sum(s for part, s in parts.items() if part.startswith(f"{whole}: ")))
    assert {"push: fsync of the file", "pull: digest"} < set(found.floors["in a blob: numeric frame, 100 KB"])


class Page(HTMLParser):
    """The open elements, the text of the cells, and what is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: set[str] = set()
        self.fetched: list[str] = []
        self.targets: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert tag != "script"
        if tag not in {"meta", "img"}:
            self.open.append(tag)
        self.fetched += [attributes["src"]] if "src" in attributes else []
        self.targets.add(attributes.get("id"))
        if tag == "a":
            self.links.add(attributes["href"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells.add(data)


def test_the_page_stands_alone_and_has_every_workload_and_plot(quick):
    page = Page()
    page.feed((quick / "report.html").read_text())
    page.close()
    assert page.open == []
    assert {workload.name for workload in QUICK} <= page.cells
    assert {link.removeprefix("#") for link in page.links} <= page.targets
    assert len(page.links) > 8
    assert len(page.fetched) == len(workloads.FAMILIES)
    for family, source in zip(found_families(quick), page.fetched, strict=True):
        assert source.startswith("data:image/svg+xml;base64,")
        text = " ".join(ET.fromstring(base64.b64decode(source.partition(",")[2])).itertext())
        assert f"{family}: push and pull" in text
        assert "pickle-5" in text
    assert "http" not in re.sub(r'src="[^"]*"', "", (quick / "report.html").read_text())


def found_families(folder: Path) -> list[str]:
    return list(Run.load(folder / "results.json").families())


def test_there_is_a_picture_of_every_family(quick):
    for family in workloads.FAMILIES:
        assert (quick / f"{family.replace(' ', '-')}.png").read_bytes().startswith(b"\x89PNG")


def test_the_documentation_takes_the_tables_between_its_marks(found, tmp_path):
    copy = tmp_path / "BENCHMARKS.md"
    text = report.DOCS.read_text()
    copy.write_text(text)
    for _ in range(2):
        report.write_docs(found, copy)
    before, _, rest = text.partition(report.BEGIN)
    written = copy.read_text()
    assert written.startswith(before)
    assert written.endswith(rest.partition(report.END)[2])
    assert written.count(report.BEGIN) == written.count(report.END) == 1
    assert all(f"| {workload.name} |" in written for workload in QUICK)
    assert found.did["command"] in written


@pytest.fixture(scope="module")
def all_ways(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("report")
    names = ["mixed frame, 10 KB", "records, 10 KB"]
    run("--quick", "--rounds", "1", "--only", *names, "--report", folder)
    return Run.load(folder / "results.json")


def test_every_way_is_measured_or_says_why_not(all_ways):
    for result in all_ways.results:
        assert list(result.ways) == list(ways.NOTES)
        assert all(measured.refused or measured.seconds["push"] for measured in result.ways.values())
    frame, records = all_ways.results
    assert [way for way, measured in frame.ways.items() if measured.refused] == ["msgpack-numpy"]
    assert {"Parquet", "Feather", "msgpack-numpy"} < {way for way, found in records.ways.items() if found.refused}


def test_a_way_that_gives_back_another_value_is_marked(all_ways):
    frame = all_ways.results[0]
    assert frame.ways["stock serde"].differs
    assert frame.ways["ours"].differs is frame.ways["pickle-5"].differs is None
    by_title = {table.title: table for table in tables.tables(all_ways)}
    ratios = by_title["Push and pull"]
    row = dict(zip(ratios.head, ratios.rows[0], strict=True))
    assert "*" in row["stock serde"]
    assert "*" not in row["pickle-5"]
    assert row["msgpack-numpy"] == "refuses"
    assert ("stock serde", "changes", "mixed frame") in {row[:3] for row in by_title["What is not exact"].rows}


def test_unknown_names_are_told():
    assert "there is no way pickel" in run("--ways", "pickel", code=1)
    told = run("--list")
    assert all(f"  {workload.name}\n" in told for workload in QUICK)
    assert "there is no size 5 KB" in run("--sizes", "5 KB", code=1)


def result(name: str, ours: list[float], theirs: list[float]) -> Result:
    seconds = [{"push": times, "pull": [0.0] * len(times), "json": [0.0] * len(times)} for times in (ours, theirs)]
    both = {"ours": Measured(seconds=seconds[0]), "pickle-5": Measured(seconds=seconds[1])}
    return Result(name, name.partition(",")[0], "", 100_000_000, both)


@pytest.mark.parametrize(("ours", "word"), [(0.59, "met"), (0.61, "missed")])
def test_a_target_is_met_by_the_ratio_of_the_least_times(ours, word):
    found = Run(results=[result("array, 100 MB", [0.8, ours, 9.0], [1.0, 2.0, 4.0])])
    verdict = next(verdict for verdict in targets.verdicts(found) if verdict.work == "array, 100 MB")
    assert verdict.word == word
    assert verdict.measured == f"{ours:.2f} × (median 0.40; {ours / 2:.2f} to 2.25, 3 rounds)"  # noqa: RUF001


def test_a_way_that_had_fewer_rounds_is_compared_in_these():
    ratio = result("array, 100 MB", [1.0, 2.0, 1.0, 9.0, 9.0, 9.0], [2.0, 2.0, 4.0]).ratio("pickle-5")
    assert (ratio.middle, ratio.low, ratio.high, ratio.rounds) == (0.5, 0.25, 1.0, 3)


def test_a_value_that_ours_refuses_or_changes_is_a_failure(tmp_path):
    changed = result("array, 100 MB", [1.0], [1.0])
    changed.ways["ours"].differs = "value: 1 became 2"
    Run(results=[changed]).save(tmp_path / "results.json")
    told = run("--results", tmp_path / "results.json", "--report", tmp_path, code=1)
    assert "## Targets" in told
    assert "array, 100 MB" in (tmp_path / "report.html").read_text()
    assert "ours refused or changed:\n  array, 100 MB" in told


def test_the_slope_of_time_over_size():
    assert slope([(1e6, 1.0), (1e7, 10.0), (1e9, 1000.0)]) == pytest.approx(1)
    assert slope([(1e6, 1.0), (1e8, 10.0)]) == pytest.approx(0.5)
    assert slope([(1e6, 1.0)]) is None


def test_the_floor_and_the_rate_of_time_over_size():
    assert fit([(size, 0.5 + size * 1e-9) for size in (1e3, 1e6, 1e9)]) == pytest.approx((0.5, 1e-9))
    assert fit([(1e6, 1.0), (1e6, 2.0)]) is None


def test_what_is_missed_is_said_with_its_profile(tmp_path):
    copy = tmp_path / "BENCHMARKS.md"
    copy.write_text(f"{report.BEGIN}{report.END}")
    report.write_docs(Run(results=[result("array, 100 MB", [2.0], [1.0])], profiles=["### array, 100 MB"]), copy)
    written = copy.read_text()
    assert "- array, 100 MB: 2.00" in written
    assert written.index("### What is missed") < written.index("### array, 100 MB")


def test_what_was_tried_stands_beside_what_is_missed(tmp_path):
    works = {verdict.work.partition(":")[0] for verdict in targets.verdicts(Run())}
    assert works >= TRIED.keys()
    copy = tmp_path / "BENCHMARKS.md"
    copy.write_text(f"{report.BEGIN}{report.END}")
    report.write_docs(Run(results=[result("array, 100 MB", [2.0], [1.0])]), copy)
    assert f"(≤ 0.6 × pickle-5). {TRIED['array, 100 MB']}\n" in copy.read_text()  # noqa: RUF001


def test_what_fails_loses_nothing_else(tmp_path):
    found = Run()
    attempt = command._Attempts(found, tmp_path / "report" / "results.json")

    def fail(why: str) -> str:
        raise subprocess.CalledProcessError(1, "program", stderr=why)

    for word in attempt("one", str, "measured"):
        found.profiles.append(word)
    assert list(attempt("two", fail, "its last words")) == []
    assert Run.load(tmp_path / "report" / "results.json") == found
    assert found.profiles == ["measured"]
    assert found.failed.keys() == {"two"}
    assert "its last words" in next(table for table in tables.tables(found) if table.title == "What failed").rows[0][1]
    told = run("--results", tmp_path / "report" / "results.json", "--report", tmp_path, code=1)
    assert "not measured, because it failed:\n  two" in told


def test_the_profile_of_a_first_push_is_of_its_imports(tmp_path):
    profile = fresh.profiled("first push of a datetime", tmp_path)
    count = int(re.search(r"(\d+) modules are imported", profile).group(1))
    assert count > 5
    assert "| airflow_xcom." in profile
    assert "0 modules are imported" in fresh.profiled(fresh.FORKED[1], tmp_path)


def test_the_targets_are_compared_with_what_they_name():
    by_name = {work.name: work for work in workloads.workloads(list(workloads.SIZES))}
    assert by_name.keys() >= targets.NAMED
    for target in targets.TIMES:
        assert target.base in {way.name for way in targets.ways_of(by_name[target.workload], ways.WAYS)}


def test_every_module_uses_public_names_only():
    imports = re.compile(r"^\s*from (airflow_xcom[\w.]*) import (\([^)]*\)|[^#\n]+)", re.MULTILINE)
    found = [(path.name, *match) for path in BENCHMARKS.glob("*.py") for match in imports.findall(path.read_text())]
    assert found
    assert [found for found in found if re.search(r"\b_", f"{found[1]} {found[2]}".replace(".", " "))] == []


def test_settings_are_recommended_for_data_in_a_bucket(seaweedfs, tmp_path, monkeypatch):
    extra = {"endpoint_url": seaweedfs.endpoint, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": seaweedfs.key, "password": seaweedfs.secret, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_BENCH", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    pd.DataFrame({"a": np.arange(3000), "b": ["text"] * 3000}).to_csv(tmp_path / "own.csv", index=False)
    told = run("--data", tmp_path / "own.csv", "--store", "s3://bench@xcom/own", "--rounds", "1")
    assert all(f"\n| {compression} |" in told for compression in advice.COMPRESSIONS)
    assert "| size | in the row | in the store |" in told
    lines = told[told.index("[xcom_codecs]") :]
    assert re.fullmatch(
        r"\[xcom_codecs\]\npath = s3://bench@xcom/own\ncompression = \S+\nthreshold = \d+\n\n?", lines
    ), lines


@pytest.mark.parametrize("name", ["value.pkl", "value.pickle", "value"])
def test_pickles_are_refused_unread(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"cos\nsystem\n(S'touch unpickled'\ntR.")
    assert "reading a pickle would run code" in run("--data", path, code=1, cwd=tmp_path)
    assert not (tmp_path / "unpickled").exists()


def test_a_npy_file_of_pickled_objects_is_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{1}, None], object), allow_pickle=True)
    with pytest.raises(SystemExit, match="allow_pickle=False"):
        advice.read(tmp_path / "objects.npy")


def test_every_kind_of_file_is_read(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    frame.to_csv(tmp_path / "f.csv", index=False)
    frame.to_parquet(tmp_path / "f.parquet")
    frame.to_feather(tmp_path / "f.feather")
    for suffix in ("csv", "parquet", "feather"):
        assert advice.read(tmp_path / f"f.{suffix}").equals(frame)
    (tmp_path / "f.json").write_text('{"a": [1, 2.5, null]}')
    assert advice.read(tmp_path / "f.json") == {"a": [1, 2.5, None]}
    np.save(tmp_path / "f.npy", np.arange(3))
    assert advice.read(tmp_path / "f.npy").tolist() == [0, 1, 2]


def test_the_smallest_of_what_is_as_fast_is_recommended():
    found = Result("own", "own", "", 1)
    for way, disk, taken in (("none", 100, 1.0), ("lz4", 50, 1.09), ("zstd:3", 10, 1.2)):
        found.ways[way] = Measured(disk=disk, seconds={"push": [taken], "pull": [0.0], "json": [0.0]})
    assert advice._compression(found) == "lz4"


@pytest.mark.parametrize(("rows", "threshold"), [((1, 1, 1), 49152), ((1, 9, 1), 4096), ((9, 1, 1), 0)])
def test_the_threshold_is_where_the_store_begins_to_be_faster(rows, threshold):
    def took(seconds: float) -> SimpleNamespace:
        return SimpleNamespace(median=lambda _: seconds)

    parts = {
        limit: SimpleNamespace(ways={"row": took(row), "store": took(5)})
        for limit, row in zip(advice.THRESHOLDS, rows, strict=False)
    }
    assert advice._threshold(parts) == threshold


def test_a_frame_goes_to_a_bucket_and_back() -> None:
    command = [sys.executable, str(BENCHMARKS / "stores.py"), "--frame", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "frame of 40 MB: push" in done.stdout


def test_every_compression_is_measured() -> None:
    command = [sys.executable, str(BENCHMARKS / "compression.py"), "--scale", "0.01", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    choices = ("none", "lz4", "zstd:1", "zstd:3", "auto", "auto, far")
    assert len({done.stdout.count(f"  {choice:9} ") for choice in choices}) == 1, "each for every kind of data"
    assert done.stdout.count("  none ") > done.stdout.count("  parquet ") > 2, "which has tables only"
