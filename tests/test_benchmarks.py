"""The benchmarks run once, small, as ordinary tests; nothing is asserted about time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_every_workload_is_measured_every_way() -> None:
    command = [sys.executable, str(BENCHMARKS / "roundtrip.py"), "--scale", "0.0001", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if "airflow_xcom.backend" not in line]
    ours = [line for line in lines if line.startswith("  ours ")]
    assert len(ours) == 8
    assert sum(line.startswith("  pickle-5 ") for line in lines) == 8
    assert sum("ours is" in line for line in lines) > 12
    assert not any("refuses" in line for line in ours)


def test_a_frame_goes_to_a_bucket_and_back() -> None:
    command = [sys.executable, str(BENCHMARKS / "stores.py"), "--frame", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "frame of 40 MB: push" in done.stdout


def test_every_compression_is_measured() -> None:
    command = [sys.executable, str(BENCHMARKS / "compression.py"), "--scale", "0.01", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for choice in ("none", "lz4", "zstd:1", "zstd:3", "auto", "auto, far"):
        assert done.stdout.count(f"  {choice:9} ") == 6
    assert done.stdout.count("  parquet ") == 3
