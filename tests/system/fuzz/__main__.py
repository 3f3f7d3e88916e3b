"""Fuzz everything that reads a payload: ``python3 dev.py fuzz [--inputs N] [--targets NAME ...]``.

======== =====================================================================================================
target   what an input is
======== =====================================================================================================
msgpack  a blob in the MessagePack syntax
arrow    a blob that is an Arrow file
json     a row's value in the JSON syntax
envelope a row with an envelope, pulled and purged through the backend with a store of files
======== =====================================================================================================

Each target is fuzzed in one process after the other by libFuzzer (through atheris), guided by the coverage of this
distribution's code, from the golden payloads on.  The exit code is 0 if nothing was found and every input was counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TARGETS = ("msgpack", "arrow", "json", "envelope")
_COVERAGE = re.compile(r"DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_UNITS = re.compile(r"stat::number_of_executed_units: (\d+)")
_PEAK = re.compile(r"stat::peak_rss_mb:\s+(\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=80_000, help="for each target (default: %(default)s)")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--payloads", default="*", metavar="PATTERN", help='mutate only these, such as "*model*"')
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="keep corpora, logs and findings here")
    options = parser.parse_args()
    os.environ["FUZZ_PAYLOADS"] = options.payloads
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        with ThreadPoolExecutor(options.jobs) as pool:
            runs = pool.map(lambda name: fuzz(name, folder / name, options.inputs, options.seed), options.targets)
            results = [report(result) for result in runs]
    total, decoded = (sum(result[name] or 0 for result in results) for name in ("inputs", "decoded"))
    print(f"{total:,} inputs in all, of which {decoded:,} were decoded")
    return 0 if all(result["passed"] for result in results) else 1


def fuzz(target: str, folder: Path, inputs: int, seed: int) -> dict[str, Any]:
    """Run one target and collect what it and libFuzzer say."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tally.json").unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "process.py"), target, str(folder), str(inputs), f"-seed={seed}"]
    began = time.monotonic()
    with (folder / "log.txt").open("w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False, env=_environment())
    text = (folder / "log.txt").read_text(errors="replace")
    tally = json.loads((folder / "tally.json").read_text()) if (folder / "tally.json").exists() else {}
    coverage, units, peak = (pattern.search(text) for pattern in (_COVERAGE, _UNITS, _PEAK))
    counted = tally.get("inputs", 0)
    findings = sorted((folder / "findings").glob("*.txt"))
    return {
        "target": target,
        "inputs": counted,
        **{name: tally.get(name) for name in ("decoded", "distinct", "outcomes", "slowest")},
        "seconds": round(time.monotonic() - began),
        "coverage": [int(number) for number in coverage.groups()] if coverage else None,
        "peak_mb": int(peak[1]) if peak else None,
        "findings": {path.stem: path.read_text() for path in findings},
        "log": text[-2000:],
        "passed": done.returncode == 0 and not findings and counted == inputs == int(units[1] if units else -1),
    }


def _environment() -> dict[str, str]:
    """Hashes that differ from run to run would make the coverage, and so the inputs, differ too."""
    return {**os.environ, "PYTHONHASHSEED": "0"}


def report(result: dict[str, Any]) -> dict[str, Any]:
    """Print what became of the inputs of one target."""
    edges, features, kept = result["coverage"] or (0, 0, 0)
    print(
        f"{result['target']}: {result['inputs']:,} inputs ({result['decoded'] or 0:,} decoded, "
        f"{result['distinct'] or 0:,} distinct) in {result['seconds']} s; slowest {result['slowest']} s of CPU; "
        f"peak {result['peak_mb']} MB; coverage: {edges} edges, {features} features; corpus: {kept}"
    )
    print("  " + ", ".join(f"{name} {count:,}" for name, count in (result["outcomes"] or {}).items()))
    for name, text in result["findings"].items():
        print(f"  FOUND {name}: {text.strip().splitlines()[-1] if text.strip() else ''}")
    if not result["passed"] and not result["findings"]:
        print(result["log"])
    sys.stdout.flush()
    return result


if __name__ == "__main__":
    sys.exit(main())
