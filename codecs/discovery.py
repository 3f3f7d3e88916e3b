"""Who supplies a module: the distribution that installed it, or the file that it is."""

from __future__ import annotations

import sysconfig
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["distribution_of_point", "supplier_of"]


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
