"""Every named value of the tests, by family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import test_arrow
import test_classes
import test_geopandas
import test_libraries
import test_models
import test_numpy
import test_pandas
import test_pandas_scalars
import test_plain
import test_polars
import test_pydantic_types
import test_scalars
import test_scipy
import test_times
import test_xarray
from values import VALUES

Make = Callable[[], Any]


def _makers(*tables: Mapping[str, Any]) -> dict[str, Make]:
    """The tables in one; what cannot be called stands for itself."""
    made: dict[str, Make] = {}
    for table in tables:
        for name, value in table.items():
            taken = sum(known == name or known.startswith(f"{name} (") for known in made)
            made[f"{name} ({taken + 1})" if taken else name] = value if callable(value) else _constant(value)
    return made


def _constant(value: Any) -> Make:
    return lambda: value


CATALOGUE: dict[str, dict[str, Make]] = {
    "JSON natives": _makers(test_plain.PLAIN, test_plain.NOT_PLAIN),
    "Python": _makers(test_scalars.CASES),
    "The standard library": _makers(test_libraries.STANDARD),
    "Classes": _makers(test_classes.CLASSES),
    "Times": _makers(test_times.STDLIB, test_times.LIBRARIES, test_times.PENDULUM, test_times.LOCAL),
    "NumPy": _makers(test_numpy.ARRAYS, test_numpy.SCALARS, test_numpy.MASKED, test_numpy.RECARRAYS),
    "pandas scalars": _makers(
        test_pandas_scalars.TIMESTAMPS,
        test_pandas_scalars.SCALARS,
        test_pandas_scalars.OFFSETS,
        test_pandas_scalars.DTYPES,
    ),
    "pandas": _makers(test_pandas.MADE),
    "pyarrow": _makers(test_arrow.MADE),
    "polars": _makers(test_polars.MADE),
    "SciPy": _makers(test_scipy.MADE),
    "pydantic": _makers(test_pydantic_types.MADE),
    "xarray": _makers(test_xarray.MADE),
    "geopandas": _makers(test_geopandas.MADE),
    "Libraries": _makers(test_libraries.LIBRARIES),
    "Models": _makers(test_models.MADE),
    "Mixtures": _makers(VALUES),
}
