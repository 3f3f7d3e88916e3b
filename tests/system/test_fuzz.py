"""A short run of the fuzzer (tests/system/fuzz) over each kind of payload, and what it would notice."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz"
INPUTS = 2500  # of each target


@pytest.mark.parametrize("target", ["msgpack", "arrow", "json", "envelope"])
def test_only_typed_errors_come_out_of_mutated_payloads(target: str, tmp_path: Path) -> None:
    done = fuzz(f"--inputs={INPUTS}", f"--targets={target}", f"--folder={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{INPUTS:,} inputs in all" in done.stdout
    tally = json.loads((tmp_path / target / "tally.json").read_text())
    assert tally["inputs"] == INPUTS
    assert tally["distinct"] > INPUTS / 2
    assert tally["outcomes"]["value"] > INPUTS / 20  # the codecs are reached
    assert tally["outcomes"]["CorruptPayloadError"] > INPUTS / 20
    edges = int(re.search(r"coverage: (\d+) edges", done.stdout)[1])
    assert edges > 500


# What a codec might do while it reads a payload, and what the fuzzer must call it.
PLANTED = {
    "an error that is not ours": ("raise MemoryError", "MemoryError"),
    "an import": ("import this", "forbidden"),
    "a file that is opened": ("open('/etc/hostname').close()", "forbidden"),
    "a file that is deleted": ("os.remove('/nowhere/at/all')", "forbidden"),
    "a command": ("os.system('true')", "forbidden"),
    "a connection": ("socket.create_connection(('127.0.0.1', 1))", "forbidden"),
    "code": ("eval('1')", "forbidden"),
    "a library that is loaded": ("ctypes.CDLL(None)", "forbidden"),
    "much memory": ("bytearray(process.ROOM * 5 // 4)", "MemoryError"),
    "much time": ("burn()", "slow"),
    "nothing": ("1", None),
}
PLANT = """
import ctypes, json, os, socket, sys, time, types
from pathlib import Path

fuzz, folder = sys.argv[1:]
sys.path.insert(0, fuzz)
import process
from airflow_xcom.codecs import Codec, DecodeError, registry
from guard import Guard

def burn():
    end = time.process_time() + process.SECONDS + 0.2
    while time.process_time() < end:
        pass

def decode(code, version):
    try:
        functions[code]()
    except OSError:  # a guard must notice what was tried and swallowed
        pass
    return None

registry.register(Codec("test.planted", (), lambda value: None, decode))
plants = json.load(sys.stdin)
functions = [types.FunctionType(compile(plant, "plant", "exec"), globals()) for plant in plants]
guard = Guard()
process.limit_memory()
found = []
for place in range(len(plants)):
    (into := Path(folder, str(place))).mkdir()
    target = process.Target(process.read_json, guard, into, 1)
    target(json.dumps({"$": ["test.planted", 1, place]}).encode())
    found.append(next(iter(json.loads((into / "tally.json").read_text())["findings"]), None))
print(json.dumps(found))
"""


def test_the_fuzzer_notices_what_is_planted(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLANT, str(FUZZ), str(tmp_path)],
        input=json.dumps([code for code, _ in PLANTED.values()]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert dict(zip(PLANTED, found, strict=True)) == {name: kind for name, (_, kind) in PLANTED.items()}


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FUZZ), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)
