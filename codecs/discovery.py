"""Where codecs come from: the built-in modules, and whoever supplied another one, a distribution or a file."""

from __future__ import annotations

import sysconfig
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENTRY_POINT_GROUP", "HOMES", "STDLIB", "Origin", "distribution_of_point", "supplier_of"]

ENTRY_POINT_GROUP = "airflow_xcom.codecs"

STDLIB = ("stdlib.scalars", "stdlib.containers", "stdlib.times")
_CLASSES = ("classes.generated", "classes.pydantic")
_PANDAS = ("pandas.scalars", "pandas.index", "pandas.frame")

# Root package of a type or tag -> the modules of airflow_xcom.codecs.builtin that may hold its codec.
HOMES: dict[str, tuple[str, ...]] = {
    "builtins": (*STDLIB, *_CLASSES),  # every class derives from object
    "class": _CLASSES,
    "decimal": ("stdlib.scalars",),
    "fractions": ("stdlib.scalars",),
    "uuid": ("stdlib.scalars",),
    "ipaddress": ("stdlib.scalars",),
    "pathlib": ("stdlib.scalars",),
    "collections": ("stdlib.containers",),
    "datetime": ("stdlib.times",),
    "zoneinfo": ("stdlib.times",),
    "pytz": ("stdlib.times",),
    "dateutil": ("stdlib.times",),
    "pendulum": ("pendulum",),
    "numpy": ("numpy.array",),
    "pandas": _PANDAS,
    "pyarrow": ("arrow.values",),
    "polars": ("polars",),
    "scipy": ("scipy",),
    "xarray": ("xarray",),
    "shapely": ("geo.shapely",),
    "pyproj": ("geo.pyproj",),
    "geopandas": ("geo.geopandas",),
}


class Origin:
    """Where a registration was made: tells a re-executed Dag file from a second registration.

    A file is executed again under another module name when Airflow parses it, and as ``__main__`` in ``dag.test()``.
    """

    __slots__ = ("name", "namespace")

    def __init__(self, name: str, namespace: dict[str, Any]) -> None:
        self.name = name
        self.namespace = namespace

    @property
    def file(self) -> str | None:
        return self.namespace.get("__file__")

    @property
    def module(self) -> str:
        return str(self.namespace.get("__name__"))

    @property
    def is_main(self) -> bool:
        return self.module == "__main__"

    def reexecutes(self, earlier: Origin) -> bool:
        if self.namespace is earlier.namespace or self.file is None:
            return False
        return self.name == earlier.name and self.file == earlier.file


def distribution_of_point(point: metadata.EntryPoint) -> str | None:
    """The name and version of the distribution that has an entry point."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else None


@cache
def supplier_of(module: str, file: str | None) -> str:
    """The name and version of the distribution that installed a module; else the name of its file, or its own."""
    if file is None:
        return module
    root = module.partition(".")[0]
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        # Going through all distributions takes a good part of a second, so it is done for installed modules only.
        if Path(file).is_relative_to(folder) and root in _distributions():
            name = _distributions()[root][0]
            return f"{name} {metadata.version(name)}"
    return Path(file).name


@cache
def _distributions() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
