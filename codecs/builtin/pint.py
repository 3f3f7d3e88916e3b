"""pint quantities and units of the application's registry: ``[class name, lazy, magnitude, [[unit, exponent], ...]]``.

The units are those of the registry of the process that reads, as after pint's own serialization.
"""

from __future__ import annotations

from typing import Any

import pint
from pint.util import UnitsContainer

from airflow_xcom.codecs.builtin.kinds import text_codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import as_list, as_text
from airflow_xcom.codecs.quoting import quoted

_registry: Any = pint.get_application_registry  # it has no types


def _class(name: str, *, lazy: bool) -> Any:
    """Return the class of the registry, or the one that pint itself exports, which looks the registry up."""
    return getattr(pint if lazy else _registry(), name)


def _encode(value: Any) -> list[Any]:
    name = type(value).__name__
    for lazy in (False, True):
        if type(value) is _class(name, lazy=lazy) and value._REGISTRY is _registry().get():  # noqa: SLF001
            units = [[unit, power] for unit, power in value._units.items()]  # noqa: SLF001
            return [name, lazy, getattr(value, "_magnitude", None), units]
    remedy = "str(value)" if "Unit" in name else "(value.magnitude, str(value.units))"
    raise UnsupportedValueError(
        f"the {name} is of a registry of its own; pass the registry to pint.set_application_registry() before it makes "
        f"values, in a module that both tasks import, or return {remedy}"
    )


def _decode(node: Any, _version: int) -> Any:
    name, lazy, magnitude, units = as_list(node)
    if as_text(name) not in ("Quantity", "Unit") or isinstance(magnitude, str):  # which pint would parse
        raise ValueError(f"{quoted(node)} is not a quantity")
    registry = _registry()
    powers = UnitsContainer({registry.get_name(as_text(unit)): power for unit, power in as_list(units)})
    cls = _class(name, lazy=lazy)
    return cls(powers) if name == "Unit" else cls(magnitude, powers)


_TYPES = ("pint.Quantity", "pint.Unit", "pint.registry.Quantity", "pint.registry.Unit")
CODECS = (text_codec("pint.value", _TYPES, _encode, _decode, attributes=("_", "dimensionality")),)
