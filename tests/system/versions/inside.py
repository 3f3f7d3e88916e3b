"""Runs inside an environment: writes payloads of every value it can make, and reads those of others.

::

    python inside.py write FOLDER            a blob and a row of every value, and index.json, which says what each was
    python inside.py golden PAYLOADS FOLDER  copies of the golden payloads, and what they were made of
    python inside.py read FOLDER ...         prints what became of each payload of each folder

The environment needs what the codecs need and the libraries of the values, and neither Airflow nor what runs tests.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import sys
import warnings
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

from describe import describe, differences

from airflow_xcom.codecs import EncodeError, LibraryVersionError, decode, encode, registry
from airflow_xcom.codecs.payload import decode_json

LIBRARIES = ("pandas", "numpy", "pyarrow", "polars", "msgpack", "scipy", "xarray", "geopandas", "shapely", "pyproj")

EAGER = ("attrs", "dateutil.tz", "geopandas", "pendulum", "polars", "pyarrow.compute", "pydantic", "pytz")
EAGER += ("scipy.sparse", "scipy.stats", "xarray")


FAMILIES_APART = (
    "The standard library",
    "Libraries",
    "Models",
)  # whose libraries are not here, see golden_values.APART


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules that bear anything, for what the modules of the tests import beside the libraries of their values."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        top = name.partition(".")[0]
        if top not in self._names if self._names else isinstance(sys.modules.get(top), ModuleType):
            return None  # a module that a real library has not is missed, as the codecs expect
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> Any:
        module = MagicMock(__path__=[], __spec__=spec, __name__=spec.name)
        module.importorskip = lambda name, **_options: importlib.import_module(name)
        return module

    def exec_module(self, module: Any) -> None:
        """Nothing is left to be done."""


def catalogue() -> tuple[dict[str, Callable[[], Any]], dict[str, Callable[[], Any]]]:
    """What makes every named value of the tests, and of the golden payloads."""
    finders = StandIns("conftest", "hypothesis"), StandIns()
    sys.meta_path.insert(0, finders[0])
    for name in EAGER:
        importlib.import_module(name)  # they look for libraries that may be missing, and shall not find stand-ins
    sys.meta_path.append(finders[1])
    from catalogue import CATALOGUE
    from golden_values import APART, GOLDEN_VALUES, is_allowed

    sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in finders]
    registry.allow_classes(is_allowed)
    families = {family: values for family, values in CATALOGUE.items() if family not in FAMILIES_APART}
    made = {f"{family}: {name}": make for family, values in families.items() for name, make in values.items()}
    known = {name.partition(": ")[2] for name in made}
    golden = {name: make for name, make in GOLDEN_VALUES.items() if name not in APART}
    return made | {f"Golden: {name}": make for name, make in golden.items() if name not in known}, golden


# -- writing -------------------------------------------------------------------------------------------------


def write(folder: Path) -> None:
    """Write payloads of every value."""
    values, _ = catalogue()
    entries = {name: _write(make, folder / str(place)) for place, (name, make) in enumerate(values.items())}
    _write_index(folder, entries)


def _write(make: Callable[[], Any], stem: Path) -> dict[str, Any]:
    try:
        description = describe(make())
    except Exception as error:  # noqa: BLE001 - the libraries here have no such value
        return {"not made": f"{type(error).__name__}: {error}"}
    try:
        payload = encode(make())
    except EncodeError as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    stem.with_suffix(f".{payload.format}").write_bytes(payload.to_bytes())
    stem.with_suffix(".json").write_text(json.dumps(payload.to_json(), allow_nan=False))
    return {"stem": stem.name, "format": payload.format, "is": description}


def golden(payloads: Path, folder: Path) -> None:
    """Copy the golden payloads, and describe the values that they were made of."""
    _, values = catalogue()
    entries = {}
    for source in sorted(payloads.glob("*.json")):
        row = json.loads(source.read_text())
        if row["name"] not in values:
            continue
        (blob,) = (path for path in payloads.glob(f"{source.stem}.*") if path.suffix in (".arrow", ".msgpack"))
        (folder / blob.name).write_bytes(blob.read_bytes())
        (folder / source.name).write_text(json.dumps(row["data"]))
        entries[source.stem] = {"stem": source.stem, "format": blob.suffix[1:], "is": describe(values[row["name"]]())}
    _write_index(folder, entries)


def _write_index(folder: Path, entries: dict[str, Any]) -> None:
    versions = {name: metadata.version(name) for name in LIBRARIES}
    versions["Python"] = ".".join(map(str, sys.version_info[:2]))
    (folder / "index.json").write_text(json.dumps({"versions": versions, "values": entries}))


# -- reading -------------------------------------------------------------------------------------------------


def read(folder: Path) -> dict[str, Any]:
    """What became of each payload of a folder: ``{"exact": true}`` or what else."""
    catalogue()  # has the classes that payloads name
    entries = json.loads((folder / "index.json").read_text())["values"]
    return {name: _read(folder, entry) for name, entry in entries.items() if "is" in entry}


def _read(folder: Path, entry: dict[str, Any]) -> dict[str, Any]:
    stem = folder / entry["stem"]
    blob = Path(f"{stem}.{entry['format']}").read_bytes()
    return _judged(blob, entry["format"], Path(f"{stem}.json").read_text(), json.dumps(entry["is"]))


@cache  # several writers may have written the same
def _judged(blob: bytes, form: str, text: str, description: str) -> dict[str, Any]:
    row, expected = json.loads(text), json.loads(description)
    outcomes = [
        _outcome(lambda: decode(blob, form), expected),
        _outcome(lambda: decode_json(row), expected),
    ]
    return outcomes[0] if outcomes[0] == outcomes[1] else {"changed": f"the blob {outcomes[0]}, the row {outcomes[1]}"}


def _outcome(pull: Callable[[], Any], expected: Any) -> dict[str, Any]:
    try:
        value = pull()
    except LibraryVersionError as error:
        return {"refused": str(error), "library": error.library, "installed": error.installed, "needed": error.needed}
    except Exception as error:  # noqa: BLE001 - whatever it is, it fails the test
        return {"failed": f"{type(error).__name__}: {error}"}
    found = next(differences(expected, json.loads(json.dumps(describe(value)))), None)
    return {"exact": True} if found is None else {"changed": found}


def main(command: str, *folders: str) -> None:
    """Do what is asked."""
    warnings.simplefilter("ignore")
    if command == "read":
        catalogue()  # has the classes that payloads name
        json.dump({Path(folder).name: read(Path(folder)) for folder in folders}, sys.stdout)
    else:
        {"write": write, "golden": golden}[command](*map(Path, folders))


if __name__ == "__main__":
    main(*sys.argv[1:])
