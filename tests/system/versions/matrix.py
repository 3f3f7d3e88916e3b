"""Payloads of every environment, read in every other.

``python3 dev.py docs VERSIONS`` writes docs/VERSIONS.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from environments import AT_ONCE, ENVIRONMENTS, NEWEST, ROOT, build, find_python

PROGRAM = Path(__file__).with_name("inside.py")
GOLDEN = "golden"
PRINTED = ("pandas", "numpy", "pyarrow", "polars", "msgpack", "scipy", "xarray", "geopandas", "shapely", "pyproj")
DOCUMENT = ROOT / "docs" / "VERSIONS.md"
INTRODUCTION = """# Versions

This page lists what happens to values that one set of libraries writes and another reads. It is made by `python3
dev.py docs VERSIONS`. The command installs these environments, writes a blob and a row of every value of the tests
that an environment can make, and reads both in all environments. *Exact*: class, dtypes, labels, freq, zone, order
and every number are the writer's. *Refused*: the pull raises a `LibraryVersionError`, which names the library, the
installed version and the versions that can read the value. There is no third outcome;
`tests/system/test_versions.py` checks this.

Two details depend on the release that reads: how a polars `Categorical` sorts (before polars 1.32 by first
appearance, since then as text), and the freq that the ends of intervals may have before pandas 3.1. The string
dtype in Arrow with NaN is called `pyarrow_numpy` in pandas 2.2, and `StringDtype("pyarrow", na_value=nan)` since.

If installed libraries do not fit together, such as pyarrow 26 and NumPy 1.26, a push raises `UnsupportedTypeError`
and a pull raises `UnusableLibraryError`, with the message of the import.
"""


def compute(folder: Path) -> dict[str, Any]:
    """Everything: the index of each writer and of the golden payloads, and what each reader made of them.

    Environments whose Python is not on this machine are left out.
    """
    there = [environment for environment in ENVIRONMENTS.values() if find_python(environment.python)]
    build(there)
    for name in (*(environment.name for environment in there), GOLDEN):
        (folder / name).mkdir()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(environment.run, PROGRAM, "write", folder / environment.name) for environment in there]
        if ENVIRONMENTS[NEWEST] in there:
            jobs.append(pool.submit(_describe_golden, folder / GOLDEN))
        for job in jobs:
            job.result()
        folders = sorted(path for path in folder.iterdir() if (path / "index.json").exists())
        read = list(pool.map(lambda environment: json.loads(environment.run(PROGRAM, "read", *folders)), there))
    return {
        "written": {path.name: _index(path) for path in folders},
        "read": {environment.name: found for environment, found in zip(there, read, strict=True)},
    }


def _describe_golden(folder: Path) -> None:
    """The values of the golden payloads as the newest libraries make them; older ones would make others."""
    ENVIRONMENTS[NEWEST].run(PROGRAM, "golden", ROOT / "tests" / "data" / "golden" / "v1", folder)


def _index(folder: Path) -> dict[str, Any]:
    """Without the descriptions, which are long."""
    index = json.loads((folder / "index.json").read_text())
    for entry in index["values"].values():
        if "is" in entry:
            entry["is"] = True
    return dict(index)


# -- the page ------------------------------------------------------------------------------------------------


def document(found: dict[str, Any]) -> str:
    """The page: the environments, the matrix, and what is refused."""
    return "\n".join([INTRODUCTION, *_environments(found), "", *_matrix(found), "", *_refusals(found)]) + "\n"


def _environments(found: dict[str, Any]) -> list[str]:
    libraries = ["Python", *PRINTED]
    head = ["environment", *libraries, "values", "not made", "refused at push"]
    rows = [_row(*head), _row(*["---"] * len(head))]
    for name in ENVIRONMENTS:
        index = found["written"][name]
        counts = Counter(kind_of(entry) for entry in index["values"].values())
        versions = [index["versions"][library] for library in libraries]
        rows.append(_row(f"`{name}`", *versions, *(counts[kind] for kind in ("is", "not made", "refused"))))
    return ["## Environments", "", "*Not made*: the libraries there have no such value.", "", *rows]


def kind_of(outcome: dict[str, Any]) -> str:
    """What became of a value: ``"is"`` or why it is not on writing; ``"exact"`` or else on reading."""
    kinds = ("is", "not made", "refused", "exact", "changed", "failed")
    return next(kind for kind in kinds if kind in outcome)


def _matrix(found: dict[str, Any]) -> list[str]:
    head = ["written by ↓, read by →", *(f"`{name}`" for name in ENVIRONMENTS)]
    rows = [_row(*head), _row(*["---"] * len(head))]
    for writer, shown in (*((name, f"`{name}`") for name in ENVIRONMENTS), (GOLDEN, "golden payloads")):
        rows.append(_row(shown, *(_cell(found["read"][reader][writer]) for reader in ENVIRONMENTS)))
    return ["## Values that came back", "", *rows]


def _cell(outcomes: dict[str, Any]) -> str:
    counts = Counter(map(kind_of, outcomes.values()))
    return ", ".join(f"{counts[kind]} {kind}" for kind in ("exact", "refused", "changed", "failed") if counts[kind])


def _refusals(found: dict[str, Any]) -> list[str]:
    names: dict[tuple[str, str], set[str]] = {}
    readers: dict[tuple[str, str], set[str]] = {}
    for reader, writers in found["read"].items():
        for writer, outcomes in writers.items():
            for name, outcome in outcomes.items():
                if "refused" in outcome:
                    key = (outcome["library"], outcome["needed"])
                    names.setdefault(key, set()).add(f"golden {name}" if writer == GOLDEN else name)
                    readers.setdefault(key, set()).add(reader)
    rows = [_row("needs", "refused by", "values"), _row("---", "---", "---")]
    for key in sorted(names):
        by = ", ".join(f"`{name}`" for name in ENVIRONMENTS if name in readers[key])
        rows.append(_row(" ".join(key), by, "; ".join(sorted(names[key]))))
    return ["## What is refused", "", *rows]


def _row(*cells: Any) -> str:
    return "| " + " | ".join(str(cell).replace("|", "&#124;") for cell in cells) + " |"


def main() -> None:
    """Exchange everything, and write the page."""
    missing = [environment.python for environment in ENVIRONMENTS.values() if not find_python(environment.python)]
    if missing:
        sys.exit(f"the page needs Python {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        page = document(compute(Path(folder)))
    DOCUMENT.write_text(page)
    sys.stdout.write(page)


if __name__ == "__main__":
    main()
