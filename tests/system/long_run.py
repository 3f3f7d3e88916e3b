"""A test that does not end by itself, which test_end_of_run.py runs and ends."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from valkey_server import Valkey


def test_that_does_not_end(valkey: Any, jsonb: Callable[[Any], Any], tmp_path: Path) -> None:
    Valkey(tmp_path).start()  # its parent is this process; that of the fixtures' servers is another one
    assert jsonb({"a": 1}) == {"a": 1}
    subprocess.Popen(["sleep", "3600"], start_new_session=True)
    Path(os.environ["LONG_RUN_READY"]).touch()
    time.sleep(3600)
