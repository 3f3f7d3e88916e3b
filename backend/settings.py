"""The ``[xcom_codecs]`` options: those of push and pull are read once, and validated."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from airflow_xcom.backend.errors import SettingsError
from airflow_xcom.backend.path_segments import digest
from airflow_xcom.backend.provider_info import OPTIONS, SECTION
from airflow_xcom.codecs.formats.compression import Compression

PREVIEWS = ("rows", "columns", "none")
AS_AIRFLOW = "as_airflow"
INEXACT = ("refuse", AS_AIRFLOW)
_HOME = "{AIRFLOW_HOME}"
_WHOLE = "give a whole number"

T = TypeVar("T")

log = logging.getLogger("airflow_xcom.backend")


@dataclass(frozen=True)
class Settings:
    """The options of push and pull, validated; those that are not explained here are as :data:`OPTIONS` says.

    Attributes:
        path: the URL that blobs are written below.
        name: the name of that store in references.
        stores: name to URL of every store that is read, the one at ``path`` included.
        preview: one of :data:`PREVIEWS`, or empty.
        inexact: one of :data:`INEXACT`.
        legacy_backend: the class of the former backend, or None.

    Raises:
        SettingsError: An option has a value that is not allowed.
    """

    path: str
    name: str = "default"
    stores: Mapping[str, str] = field(default_factory=dict)
    store_timeout: int = 120
    durable: bool = True
    threshold: int = 49152
    compression: Compression = field(default_factory=Compression)
    preview: str = ""
    inexact: str = "refuse"
    modules: tuple[str, ...] = ()
    legacy_backend: type[Any] | None = None
    preserve_key_order: bool = False

    def __post_init__(self) -> None:
        if self.threshold < -1:
            raise SettingsError("threshold", self.threshold, "give a number of bytes, or -1 to offload nothing")
        if self.preview and self.preview not in PREVIEWS:
            raise SettingsError("preview", self.preview, f"give {', '.join(PREVIEWS)}, or nothing")
        if self.inexact not in INEXACT:
            raise SettingsError("inexact", self.inexact, f"give {' or '.join(INEXACT)}")
        if self.store_timeout < 1:
            raise SettingsError("store_timeout", self.store_timeout, "give a number of seconds, at least 1")
        for name, url in {**self.stores, self.name: self.path}.items():
            if "://" not in url:
                option, or_name = ("path", ", or a name in 'stores'") if url == self.path else ("stores", "")
                raise SettingsError(option, url, f"the store {name!r} needs a URL such as file:///srv/xcom{or_name}")

    @classmethod
    def read(cls) -> Settings:
        """Return the options in Airflow's configuration; raise SettingsError for a value that is not allowed."""
        stores = _stores(text_of("stores"))
        path = text_of("path")
        path = path.replace(_HOME, _airflow_home()) if _HOME in path else path
        name = path if path in stores else "default"
        if name == "default" and "default" in stores:
            raise SettingsError("stores", stores, "'default' is the name of the store at 'path'; give another name")
        return cls(
            path=stores.get(path, path),
            name=name,
            stores={**stores, name: stores.get(path, path)},
            store_timeout=parsed_option("store_timeout", int, _WHOLE),
            durable=is_on("durable"),
            threshold=parsed_option("threshold", int, _WHOLE),
            compression=parsed_option("compression", Compression.parse),
            preview=text_of("preview"),
            inexact=text_of("inexact"),
            modules=tuple(part.strip() for part in text_of("modules").split(",") if part.strip()),
            legacy_backend=_legacy_backend(text_of("legacy_backend")),
            preserve_key_order=is_on("preserve_key_order"),
        )

    def compression_for(self, store: str) -> Compression:
        """Return the compression for the store of this name; what goes over a network may take more time."""
        if self.compression.algorithm != "auto":
            return self.compression
        return replace(self.compression, is_far=not self.stores[store].startswith("file:"))

    def digest_of(self, store: str) -> str:
        """Return what tells the URL of the store of this name from another one that had the name before."""
        return digest(self.stores[store].partition("?")[0])


@cache
def settings() -> Settings:
    """Return the options of this process, which are read at the first push or pull."""
    _warn_of_unknown_options()
    return Settings.read()


def check_store(name: str) -> None:
    """Raise SettingsError unless a store has this name."""
    stores = settings().stores
    if name not in stores:
        remedy = f"no store is called {name!r}; 'default' is that of 'path'"
        raise SettingsError("stores", ", ".join(stores), remedy)  # the names, for URLs may have passwords


def _warn_of_unknown_options() -> None:
    """Log the options that nothing reads, such as a misspelled one."""
    from airflow_xcom.backend.compat import configuration

    parser, prefix = configuration(), f"AIRFLOW__{SECTION.upper()}__"
    named = {*parser.options(SECTION)} if parser.has_section(SECTION) else set()
    named |= {name.removeprefix(prefix).lower() for name in os.environ if name.startswith(prefix)}
    for name in sorted(named - OPTIONS.keys()):
        log.warning("[%s] has no option %s, so it does nothing; docs/CONFIGURATION.md has all", SECTION, name)


def is_on(option: str) -> bool:
    """Return whether an option is True; raise SettingsError if its value is not allowed."""
    text = text_of(option)
    if text.lower() not in {"true", "false", "1", "0", "t", "f"}:
        raise SettingsError(option, text, "give True or False")
    return text.lower() in {"true", "1", "t"}


def text_of(option: str) -> str:
    """Return an option as text."""
    from airflow_xcom.backend.compat import configuration

    default = OPTIONS[option]["default"].replace("{{", "{").replace("}}", "}")
    return str(configuration().get(SECTION, option, fallback=default)).strip()


def _airflow_home() -> str:
    """Return the folder that Airflow's own configuration uses."""
    return str(Path(os.path.expandvars(os.environ.get("AIRFLOW_HOME", "~/airflow"))).expanduser().absolute())


def parsed_option(option: str, parse: Callable[[str], T], remedy: str = "") -> T:
    """Return what ``parse`` makes of an option; raise SettingsError where that raises ValueError."""
    text = text_of(option)
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(option, text, remedy or str(error)) from error


def _stores(text: str) -> dict[str, str]:
    try:
        stores = {} if text in {"", "{}"} else json.loads(text)
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
        backend = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        advice = "it cannot be imported; give the full name of the class that [core] xcom_backend named before"
        raise SettingsError("legacy_backend", name, advice) from error
    if not isinstance(backend, type) or not hasattr(backend, "deserialize_value"):
        raise SettingsError("legacy_backend", name, "it is not an XCom backend")
    return backend
