"""The ``[xcom_codecs]`` options: declared for Airflow, read once, validated.

Airflow loads :func:`get_provider_info` while it reads its own configuration, so nothing of Airflow may be imported at
the top of this module, nor of the package it is in.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_xcom.backend.errors import SettingsError
from airflow_xcom.backend.retention import STATES, Term
from airflow_xcom.codecs import Compression

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SECTION", "Settings", "get_provider_info", "settings"]

SECTION = "xcom_codecs"

_OPTIONS: dict[str, dict[str, Any]] = {
    "path": {
        "description": "Where values that are too large for the metadata database are written: the URL of a folder, "
        "of a bucket (``s3://conn_id@bucket/prefix``) or of a Redis or Valkey server (``redis://conn_id@/prefix``), or "
        "the name of one of the ``stores``.\n",
        "type": "string",
        "default": "file://{AIRFLOW_HOME}/xcom",
        "example": "file:///mnt/shared/xcom",
    },
    "stores": {
        "description": "Further stores that values are read from, as a JSON object of names and URLs; for example the "
        "former ``path``, as long as rows refer to it.\n",
        "type": "string",
        "default": "{{}}",
        "example": '{{"old": "file:///mnt/old/xcom"}}',
    },
    "store_timeout": {
        "description": "Seconds after which a request to a store fails.  Until then it is repeated after passing "
        "faults: a broken connection, a silent or overloaded server.  Of a large value each part is a request.\n",
        "type": "integer",
        "default": "120",
        "example": "30",
    },
    "threshold": {
        "description": "The most bytes that a value may take in the metadata database; what is larger goes to "
        "``path``. -1 offloads nothing. 0 offloads everything but plain JSON values of up to 1 KiB, which Airflow "
        "itself reads.\n",
        "type": "integer",
        "default": "49152",
        "example": "1048576",
    },
    "compression": {
        "description": "Of what goes to ``path``: ``none``, ``lz4`` (fast), ``zstd`` or ``zstd:LEVEL`` with a level "
        "from 1 to 22 (small), or ``auto``, which compresses what samples of it say is worth it, and more of it where "
        "the store is reached over a network. The metadata database holds values as they are.\n",
        "type": "string",
        "default": "none",
        "example": "auto",
    },
    "modules": {
        "description": "Modules, separated by commas, that are imported before the first value is pushed or pulled "
        "because they register codecs.\n",
        "type": "string",
        "default": "",
        "example": "my_company.codecs",
    },
    "legacy_backend": {
        "description": "The XCom backend in use before this one, which then reads and purges the rows it wrote.\n",
        "type": "string",
        "default": "",
        "example": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
    },
    "preserve_key_order": {
        "description": "Whether to keep the order of keys of plain dicts, which PostgreSQL and MySQL do not keep in "
        "JSON columns, by storing such dicts in an envelope.\n",
        "type": "boolean",
        "default": "False",
        "example": "True",
    },
    "keep": {
        "description": "How long ``airflow-xcom retain`` keeps the values of a run that has ended: ``forever``, or an "
        "age such as ``30d`` (s, m, h, d, w), or the newest runs of a Dag, such as ``5runs``; of several, separated by "
        "commas, the one that keeps more. Tags of a Dag, such as ``xcom:keep=7d``, go before it.\n",
        "type": "string",
        "default": "forever",
        "example": "30d, 5runs",
    },
    "keep_success": {
        "description": "The same for runs that succeeded, if that is to differ from ``keep``.\n",
        "type": "string",
        "default": "",
        "example": "7d",
    },
    "keep_failed": {
        "description": "The same for runs that failed, if that is to differ from ``keep``.\n",
        "type": "string",
        "default": "",
        "example": "90d",
    },
    "retain_when_run_ends": {
        "description": "Whether to retire what need not be kept any more of a Dag whenever a run of it ends, in a "
        "process of its own beside the scheduler.\n",
        "type": "boolean",
        "default": "False",
        "example": "True",
    },
}


def get_provider_info() -> dict[str, Any]:
    """The metadata of the ``apache_airflow_provider`` entry point: the options, with their defaults."""
    options = {name: {"version_added": "0.1.0", **option} for name, option in _OPTIONS.items()}
    return {
        "package-name": "airflow-xcom-codecs",
        "name": "XCom codecs",
        "description": "Typed XComs: values come back exact, without pickle.\n",
        "cli": ["airflow_xcom.backend.cli.airflow_commands"],  # from Airflow 3.2 on; earlier ones do not look
        "config": {SECTION: {"description": "Options of the XCom codecs backend.\n", "options": options}},
    }


@dataclass(frozen=True)
class Settings:
    """The options, validated.

    Attributes:
        path: the URL that blobs are written below.
        name: the name of that store in references.
        stores: name to URL of every store that is read, the one at ``path`` included.
        store_timeout: seconds; see the option.
        threshold: bytes; see the option.
        compression: see the option.
        modules: names of modules to import.
        legacy_backend: the class of the former backend, or None.
        preserve_key_order: see the option.
        keep: state of a run to how long its values are kept; without one, as under ``""``.
        retain_when_run_ends: see the option.

    Raises:
        SettingsError: an option is not what it should be.
    """

    path: str
    name: str = "default"
    stores: Mapping[str, str] = field(default_factory=dict)
    store_timeout: int = 120
    threshold: int = 49152
    compression: Compression = field(default_factory=Compression)
    modules: tuple[str, ...] = ()
    legacy_backend: type[Any] | None = None
    preserve_key_order: bool = False
    keep: Mapping[str, tuple[Term, ...]] = field(default_factory=lambda: {"": (Term("forever"),)})
    retain_when_run_ends: bool = False

    def __post_init__(self) -> None:
        if self.threshold < -1:
            raise SettingsError("threshold", self.threshold, "give a number of bytes, or -1 to offload nothing")
        if self.store_timeout < 1:
            raise SettingsError("store_timeout", self.store_timeout, "give a number of seconds, at least 1")
        for name, url in {**self.stores, self.name: self.path}.items():
            if "://" not in url:
                option = "path" if url == self.path else "stores"
                raise SettingsError(option, url, f"the store {name!r} needs a URL such as file:///srv/xcom")

    @classmethod
    def read(cls) -> Settings:
        """What Airflow's configuration says now.

        Raises:
            SettingsError: an option is not what it should be.
        """
        stores = _stores(_text("stores"))
        path = _text("path").replace("{AIRFLOW_HOME}", _airflow_home())
        name = path if path in stores else "default"
        if name == "default" and "default" in stores:
            raise SettingsError("stores", stores, "'default' is the name of the store at 'path'; give another name")
        return cls(
            path=stores.get(path, path),
            name=name,
            stores={**stores, name: stores.get(path, path)},
            store_timeout=_number("store_timeout"),
            threshold=_number("threshold"),
            compression=_compression(_text("compression")),
            modules=tuple(part.strip() for part in _text("modules").split(",") if part.strip()),
            legacy_backend=_legacy_backend(_text("legacy_backend")),
            preserve_key_order=_boolean("preserve_key_order"),
            keep={"": _terms("keep")} | {state: _terms(f"keep_{state}") for state in STATES if _text(f"keep_{state}")},
            retain_when_run_ends=_boolean("retain_when_run_ends"),
        )

    def compression_for(self, store: str) -> Compression:
        """How blobs for the store of this name are compressed; what goes over a network may take more time."""
        return replace(self.compression, is_far=not self.stores[store].startswith("file:"))


@cache
def settings() -> Settings:
    """The options of this process, read at the first push or pull."""
    return Settings.read()


def _text(option: str) -> str:
    from airflow_xcom.backend.airflow import configuration

    default = _OPTIONS[option]["default"].replace("{{", "{").replace("}}", "}")
    found = configuration().get(SECTION, option, fallback=None)
    return str(default if found is None else found).strip()


def _airflow_home() -> str:
    """As Airflow's own configuration finds it."""
    return str(Path(os.path.expandvars(os.environ.get("AIRFLOW_HOME", "~/airflow"))).expanduser().absolute())


def _number(option: str) -> int:
    text = _text(option)
    try:
        return int(text)
    except ValueError as error:
        raise SettingsError(option, text, "give a whole number") from error


def _compression(text: str) -> Compression:
    try:
        return Compression.parse(text)
    except ValueError as error:
        raise SettingsError("compression", text, str(error)) from error


def _terms(option: str) -> tuple[Term, ...]:
    text = _text(option)
    try:
        return tuple(Term.parse(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(option, text, str(error)) from error


def _boolean(option: str) -> bool:
    text = _text(option)
    if text.lower() not in {"true", "false", "1", "0", "t", "f"}:
        raise SettingsError(option, text, "give True or False")
    return text.lower() in {"true", "1", "t"}


def _stores(text: str) -> dict[str, str]:
    try:
        stores = json.loads(text or "{}")
    except ValueError as error:
        raise SettingsError("stores", text, 'give a JSON object such as {"old": "file:///mnt/old"}') from error
    if not isinstance(stores, dict) or not all(isinstance(url, str) for url in stores.values()):
        raise SettingsError("stores", text, "give a JSON object of names and URLs")
    return stores


def _legacy_backend(name: str) -> type[Any] | None:
    if not name:
        return None
    from importlib import import_module

    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError("legacy_backend", name, "it cannot be imported") from error
    if not isinstance(found, type) or not hasattr(found, "deserialize_value"):
        raise SettingsError("legacy_backend", name, "it is not an XCom backend")
    return found
