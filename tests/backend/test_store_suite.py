"""The shipped suite for stores notices each fault that a store may have."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

# Each class has a store with one fault.
FAULTS = """
    import time
    import pytest
    from airflow_xcom.backend import StoreError
    from airflow_xcom.backend.stores.base import Blob, BlobNotFoundError, Store
    from airflow_xcom.backend.testing import StoreSuite

    class Dict(Store):
        def __init__(self):
            super().__init__("dict://", 1)
            self.blobs = {}
        def put(self, path, chunks):
            self.blobs[path] = b"".join(chunks)
        def get(self, path):
            if path not in self.blobs:
                raise BlobNotFoundError(path)
            return memoryview(bytearray(self.blobs[path]))
        def delete(self, path):
            return self.blobs.pop(path, None) is not None
        def list(self, prefix=""):
            return (Blob(path, len(data), time.time()) for path, data in list(self.blobs.items())
                    if path.startswith(prefix))

    class Partial(Dict):
        def put(self, path, chunks):
            self.blobs[path] = b""
            for chunk in chunks:
                self.blobs[path] += bytes(chunk)

    class Readonly(Dict):
        def get(self, path):
            return super().get(path).toreadonly()

    class Shared(Dict):
        def put(self, path, chunks):
            self.blobs[path] = bytearray(b"".join(chunks))
        def get(self, path):
            super().get(path)
            return memoryview(self.blobs[path])

    class Short(Dict):
        def read(self, path, ranges):
            memory = self.get(path)
            return [memoryview(bytearray(memory[slice(*part)])) for part in ranges]

    class Untyped(Dict):
        def get(self, path):
            return memoryview(bytearray(self.blobs[path]))

    class Quiet(Dict):
        def delete(self, path):
            self.blobs.pop(path, None)
            return True

    class Folders(Dict):
        def list(self, prefix=""):
            return super().list(prefix.rpartition("/")[0])

    class Timeless(Dict):
        def list(self, prefix=""):
            return (Blob(blob.path, blob.size, 0) for blob in super().list(prefix))

    class Pruned(Dict):
        def prune(self, before):
            self.blobs.clear()

    def suite(store):
        class Suite(StoreSuite):
            @pytest.fixture
            def store(self):
                return store()
        Suite.__qualname__ = Suite.__name__ = f"Test{store.__name__}"
        return Suite

    for store in (Dict, Partial, Readonly, Shared, Short, Untyped, Quiet, Folders, Timeless, Pruned):
        globals()[f"Test{store.__name__}"] = suite(store)
    del store
"""


def run_suite(folder: Path, code: str, *options: str, path: str = "") -> tuple[str, set[str]]:
    """The end of what pytest says of a file of tests, and the classes of which a test failed."""
    (folder / "test_suite.py").write_text(textwrap.dedent(code))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-rf", *options]
    environment = os.environ | {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [*command, "test_suite.py"], cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    return done.stdout, set(re.findall(r"FAILED \S+::(\w+)::", done.stdout))


def test_the_shipped_suite_notices_each_fault(tmp_path: Path) -> None:
    said, failed = run_suite(tmp_path, FAULTS, "-k", "not threads")  # which takes longest, and finds none of these
    names = {f"Test{name}" for name in re.findall(r"class (\w+)\((?:Dict|Store)\)", FAULTS)}
    assert names - failed == {"TestDict"}, said
