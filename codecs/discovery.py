"""Where codecs come from: built-in modules, entry points of distributions, and files that register their own."""

from __future__ import annotations

import importlib
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.quoting import module_of

ENTRY_POINT_GROUP = "airflow_xcom.codecs"

# Returns a module that is not imported before it is first needed.  For what every push and pull needs: an import
# statement takes a microsecond each time that it runs, and two where others use the processor's caches.
imported: Callable[[str], Any] = cache(importlib.import_module)

_STDLIB = ("stdlib.scalars", "stdlib.containers", "stdlib.times", "stdlib.objects")
_CLASSES = ("classes.generated", "classes.pydantic", "classes.msgspec")

# Root package of a type or tag -> the modules of airflow_xcom.codecs.builtin that may hold its codec; and with the name
# of a class, the one that does, so that nothing else is imported for it.
HOMES: dict[str, tuple[str, ...]] = {
    "builtins": _STDLIB,
    "class": _CLASSES,
    **dict.fromkeys(("decimal", "fractions", "uuid", "ipaddress", "pathlib"), ("stdlib.scalars",)),
    "collections": ("stdlib.containers",),
    "datetime": ("stdlib.times", "stdlib.objects"),
    **dict.fromkeys(("zoneinfo", "pytz"), ("stdlib.times",)),
    "dateutil": ("stdlib.times", "dateutil"),
    **dict.fromkeys(("email", "http", "os", "posix", "re", "sqlite3", "time"), ("stdlib.objects",)),
    **dict.fromkeys(("pydantic", "pydantic_core"), ("pydantic",)),
    **dict.fromkeys(("numpy", "ml_dtypes"), ("numpy.array",)),
    "pandas": ("pandas.scalars", "pandas.index", "pandas.frame"),
    **dict.fromkeys(("pandas.DataFrame", "pandas.Series"), ("pandas.frame",)),
    "pyarrow": ("arrow.values",),
    "polars": ("polars", "polars_dtypes"),
    "scipy": ("scipy", "libraries"),
    "xarray": ("xarray", "libraries"),
    "PIL": ("pillow",),
    "sklearn": ("libraries", "models.sklearn"),
    **{name: (name,) for name in ("networkx", "pendulum", "pint", "plotly")},
    **{name: (f"geo.{name}",) for name in ("geopandas", "pyproj", "shapely")},
    **{name: (f"models.{name}",) for name in ("lightgbm", "onnx", "xgboost")},
    **dict.fromkeys(
        (
            *("bigquery", "bs4", "bson", "cftime", "google", "httpx", "markupsafe", "msgspec", "psycopg", "psycopg2"),
            *("requests", "sortedcontainers", "sqlalchemy", "upath"),
        ),
        ("libraries",),
    ),
}


def root_of(name: str) -> str:
    """Return the first part of a dotted name."""
    return name.partition(".")[0]


def homes_of_tag(tag: str) -> tuple[str, ...]:
    """Return the built-in modules that may hold the codec of a tag; tags without a dot are the standard library's."""
    likely = HOMES.get(tag) or HOMES.get(root_of(tag), ())
    return likely if "." in tag else (*likely, *_STDLIB)


def homes_of_class(cls: type) -> Iterator[str]:
    """Yield the built-in modules that may hold the codec of a class, those of the class itself before its bases'."""
    for base in cls.__mro__:
        root = root_of(module_of(base))
        yield from _CLASSES if base is object else HOMES.get(f"{root}.{base.__name__}") or HOMES.get(root, ())


def load_home(home: str, check_class: Callable[[str], None]) -> tuple[Codec[Any], ...]:
    """Import a built-in module and return its codecs."""
    module: Any = importlib.import_module(f"airflow_xcom.codecs.builtin.{home}")
    made: tuple[Codec[Any], ...] = module.codecs(check_class) if hasattr(module, "codecs") else module.CODECS
    return made


def installed_entry_points() -> Iterable[metadata.EntryPoint]:
    """Return the entry points of :data:`ENTRY_POINT_GROUP` in all installed distributions."""
    return metadata.entry_points(group=ENTRY_POINT_GROUP)


class EntryPoints:
    """Entry points, each loaded once, and not before something is looked up that it may supply.

    Attributes:
        find: lists all of them, once; another function may be set before the first lookup.
        all_loaded: whether none is left to load.
        failures: for each one that failed to load, which and why.
    """

    def __init__(self, load: Callable[[metadata.EntryPoint], None]) -> None:
        self.find: Callable[[], Iterable[metadata.EntryPoint]] = installed_entry_points
        self._load = load
        self._waiting: list[metadata.EntryPoint] | None = None
        self._lock = threading.RLock()
        self._is_loading = False
        self.all_loaded = False
        self.failures: list[str] = []

    def load(self, root: str | None = None) -> None:
        """Load those whose name is ``root``, or begins with it and a dot; all that are left if it is None."""
        if self.all_loaded:
            return
        with self._lock:
            if self._is_loading:  # by this very thread, from within an entry point
                return
            self._is_loading = True
            try:
                self._load_named(root)
            finally:
                self._is_loading = False
            self.all_loaded = not self._waiting

    def _load_named(self, root: str | None) -> None:
        if self._waiting is None:
            self._waiting = list(self.find())
        wanted = [point for point in self._waiting if root in {None, root_of(point.name)}]
        for point in wanted:
            self._waiting.remove(point)
            try:
                self._load(point)
            except Exception as error:  # noqa: BLE001 - one bad plugin must not take the others with it
                supplier = distribution_of_point(point) or "an unknown distribution"
                self.failures.append(
                    f"the entry point {point.name!r} of {supplier} failed to load: {type(error).__name__}: {error}"
                )


class Origin:
    """Where a codec was registered: the module, its file and, with ``@codec``, the decorated class.

    A Dag file is executed again under another module name when Airflow parses it, and as ``__main__`` in
    ``dag.test()``: that is no second registration.

    Attributes:
        module: its name.
        file: of the module, if it has one.
        distribution: whose entry point registered the codec, as ``"name version"``, if one did.
    """

    __slots__ = ("_name", "_namespace", "distribution", "file", "module")

    def __init__(self, module: str, file: str | None, name: str = "", namespace: dict[str, Any] | None = None) -> None:
        self.module = module
        self.file = file
        self.distribution: str | None = None
        self._name = name
        self._namespace = namespace

    @classmethod
    def of_codec(cls, codec: Codec[Any]) -> Origin:
        """Return the module of ``codec.encode``."""
        module = str(getattr(codec.encode, "__module__", None) or codec.tag)
        return cls(module, getattr(sys.modules.get(module), "__file__", None))

    @property
    def supplier(self) -> str:
        """The distribution that supplies the module, as ``"name version"``; else its file's name, or its own."""
        return self.distribution or _supplier_of(self.module, self.file)

    @property
    def is_main(self) -> bool:
        """Whether it is the program that runs."""
        return self._namespace is not None and self.module == "__main__"

    def reexecutes(self, earlier: Origin) -> bool:
        """Whether this is another execution of the file that made ``earlier``."""
        if self._namespace is None or self._namespace is earlier._namespace or self.file is None:
            return False
        return self._name == earlier._name and self.file == earlier.file


def distribution_of_point(point: metadata.EntryPoint) -> str | None:
    """Return the name and version of the distribution that has an entry point."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else None


_distributions = cache(metadata.packages_distributions)


@cache
def _supplier_of(module: str, file: str | None) -> str:
    if file is None:
        return module
    root = root_of(module)
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        # Going through all distributions takes a good part of a second, so it is done for installed modules only.
        if Path(file).is_relative_to(folder) and root in _distributions():
            name = _distributions()[root][0]
            return f"{name} {metadata.version(name)}"
    return Path(file).name
