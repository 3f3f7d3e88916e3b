"""The schema of a published table as a contract: what its columns are, and which changes a contract refuses.

Only names, types and what belongs to a type are compared (docs/ASSETS.md): the zone and the unit of times, the
categories of pandas and of polars' ``Enum``, the CRS of geometries, whether Arrow allows nulls, the levels of an index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from airflow_xcom.backend.assets.version import Version
from airflow_xcom.backend.errors import SchemaChangedError, SchemaError
from airflow_xcom.codecs import SelectionError
from airflow_xcom.codecs.quoting import module_of

MODES = ("same", "compatible")
SAMPLE = 1000  # rows by which it is told what a column of objects holds
_FACTS = ("type", "zone", "unit", "categories", "ordered", "crs", "nullable")  # of a column that may be declared
_LIBRARIES = ("pandas", "polars", "pyarrow")
_MOST_CATEGORIES = 10_000  # that are told one by one
_EMPTY = "empty"  # what pandas infers of objects that are all missing

_Facts = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A column, or a level of an index.

    Attributes:
        name: as text; that of a label which is no text is how Python writes it.
        dtype: as its library writes it.
        facts: what more belongs to the type: ``zone``, ``unit``, ``categories``, ``ordered``, ``crs``, ``nullable``,
            the ``items`` of the first objects of a column, and ``label``, the type of a label that is no text.
    """

    name: str
    dtype: str
    facts: _Facts = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Return what tells the label from all others."""
        return self.name, self.facts.get("label", "")

    def __str__(self) -> str:
        return self.name if "label" in self.facts else repr(self.name)


@dataclass(frozen=True)
class Schema:
    """What consumers of a value rely on.

    Attributes:
        type: of the value, such as ``pandas.DataFrame``.
        columns: of a table; None if the value is none.
        index: its levels, for pandas.
    """

    type: str
    columns: tuple[Column, ...] | None = None
    index: tuple[Column, ...] = ()

    @classmethod
    def of(cls, value: Any) -> Schema:
        """Return the schema of a value; of one that is no table, its type alone."""
        kind = type(value)
        name = f"{module_of(kind).partition('.')[0]}.{kind.__qualname__}"
        described = _described(value)
        return cls(name) if described is None else cls(name, *map(tuple, described))


# -- the contract --------------------------------------------------------------------------------------------


def check_contract(contract: Any) -> None:
    """Raise SchemaError unless this can be a contract: ``"same"``, ``"compatible"``, or columns and their types."""
    if isinstance(contract, str) and contract in MODES:
        return
    if not isinstance(contract, Mapping):
        raise SchemaError(f'schema={contract!r:.100}: give "same", "compatible", or a dict of columns and their types')
    for name, declared in contract.items():
        if unknown := sorted(set(_declared(declared)) - set(_FACTS)):
            facts = ", ".join(_FACTS)
            raise SchemaError(f"schema: column {name!r} declares {', '.join(unknown)}; what can be declared is {facts}")


def check(value: Any, contract: Any, last: Schema | None, *, asset: str, against: str) -> Schema:
    """Return the schema of a value that is to be published; raise SchemaChangedError if its contract refuses it.

    ``last`` is the schema of the last accepted version, which ``against`` names for the error; None if there is none.
    """
    schema = Schema.of(value)
    check_contract(contract)
    if isinstance(contract, Mapping):
        differences, against = undeclared(contract, schema, value), "the declared schema"
    else:
        differences = [] if last is None else compare(last, schema, contract)
    if differences:
        raise SchemaChangedError(asset, against, differences)
    return schema


def compare(old: Schema, new: Schema, mode: str) -> list[str]:
    """Return, in words, what a contract refuses of a change; ``mode`` is one of :data:`MODES`."""
    if old.type != new.type:
        return [f"the value was a {old.type}, and is a {new.type}"]
    if old.columns is None or new.columns is None:
        return []
    found = list(_changes("column", old.columns, new.columns, mode))
    if mode == "same" and not found and [each.key for each in old.columns] != [each.key for each in new.columns]:
        found.append("the columns are in another order")
    return found + list(_index_changes(old.index, new.index, mode))


def undeclared(declared: Mapping[Any, Any], schema: Schema, value: Any) -> list[str]:
    """Return, in words, where a value is not as it was declared; columns that were not declared may be there."""
    if schema.columns is None:
        return [f"the value is a {schema.type}, and no table"]
    columns = {each.key: (position, each) for position, each in enumerate(schema.columns)}
    found = []
    for label, wanted in declared.items():
        expected = _labelled(label, "", {})
        if expected.key not in columns:
            found.append(f"column {expected} is missing")
        else:
            position, column = columns[expected.key]
            found += [f"column {column}: {text}" for text in _not_as_declared(wanted, column, value, position)]
    return found


def _changes(what: str, old: Iterable[Column], new: Iterable[Column], mode: str) -> Iterator[str]:
    before, after = _numbered(old), _numbered(new)
    added, dropped = ([key for key in one if key not in other] for one, other in ((after, before), (before, after)))
    is_renamed = len(added) == len(dropped) == 1
    for key, column in before.items():
        if key not in after:
            yield f"{what} {column} was dropped" + (f" (or renamed to {after[added[0]]})" if is_renamed else "")
        else:
            yield from (f"{what} {column}: {text}" for text in _differences(column, after[key], mode))
    if mode == "same" and not is_renamed:
        yield from (f"{what} {after[key]} was added" for key in added)


def _index_changes(old: tuple[Column, ...], new: tuple[Column, ...], mode: str) -> Iterator[str]:
    """Compare levels by their position: it is how rows are looked up."""
    if len(old) != len(new):
        yield f"the index had {len(old)} level{'s' * (len(old) > 1)}, and has {len(new)}"
        return
    for number, (before, after) in enumerate(zip(old, new, strict=True)):
        if before.key != after.key:
            yield f"level {number} of the index was {before}, and is {after}"
        yield from (f"level {number} of the index: {text}" for text in _differences(before, after, mode))


def _numbered(columns: Iterable[Column]) -> dict[tuple[tuple[str, str], int], Column]:
    """Return columns by their label, and of several with one label by their number."""
    seen: Counter[tuple[str, str]] = Counter()
    numbered = {}
    for column in columns:
        numbered[column.key, seen[column.key]] = column
        seen[column.key] += 1
    return numbered


def _differences(old: Column, new: Column, mode: str) -> Iterator[str]:
    if old.dtype != new.dtype:
        other = [name for name in ("zone", "unit") if old.facts.get(name) != new.facts.get(name)]
        yield f"{old.dtype} became {new.dtype}" + (f" (another {' and '.join(other)})" if other else "")
        return
    items = old.facts.get("items", _EMPTY), new.facts.get("items", _EMPTY)
    if _EMPTY not in items and items[0] != items[1]:
        yield f"objects that were {items[0]} became {items[1]}"
    if old.facts.get("crs") != new.facts.get("crs"):
        yield f"the CRS {old.facts.get('crs')} became {new.facts.get('crs')}"
    nullable = old.facts.get("nullable", True), new.facts.get("nullable", True)
    if nullable == (False, True) or (mode == "same" and nullable[0] != nullable[1]):
        yield "it allows nulls, and did not" if nullable[1] else "it allows no nulls any more"
    yield from _category_changes(old.facts, new.facts, mode)


def _category_changes(old: _Facts, new: _Facts, mode: str) -> Iterator[str]:
    if "categories" not in old or "categories" not in new:
        return
    if old.get("ordered") != new.get("ordered"):
        yield "its categories are ordered now" if new.get("ordered") else "its categories are not ordered any more"
    before, after = old["categories"], new["categories"]
    if isinstance(before, int) or isinstance(after, int):
        counts = [each if isinstance(each, int) else len(each) for each in (before, after)]
        if counts[1] < counts[0] or (mode == "same" and counts[1] != counts[0]):
            yield f"it had {counts[0]:,} categories, and has {counts[1]:,}"
        return
    lost, gained = (_without(*pair) for pair in ((before, after), (after, before)))
    if lost:
        yield f"the categories {_listed(lost)} are gone"
    elif gained and mode == "same":
        yield f"the categories {_listed(gained)} are new"
    elif (mode == "same" or old.get("ordered")) and _without(after, gained) != before:
        yield "its categories are in another order"


def _without(names: list[str], others: list[str]) -> list[str]:
    left_out = set(others)
    return [each for each in names if each not in left_out]


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return f"{shown} and {len(names) - 5:,} more" if len(names) > 5 else shown  # noqa: PLR2004


def schema_of(version: Version) -> Schema:
    """Return the schema of a version, of which the types and first rows are read; of what is no table, all is."""
    try:
        return Schema.of(version.value(rows=slice(0, SAMPLE)))
    except SelectionError:
        return Schema.of(version.value())


# -- declared columns ----------------------------------------------------------------------------------------


def _declared(wanted: Any) -> _Facts:
    """Return the facts that a declaration names: a type as text, a type of a library, or a dict of facts."""
    if isinstance(wanted, Mapping):
        return dict(wanted)
    if isinstance(wanted, str):
        return {"type": wanted}
    facts = {name: fact for name, fact in _facts(wanted).items() if name in _FACTS}
    return {"type": _text(wanted), **facts}


def _not_as_declared(wanted: Any, column: Column, value: Any, position: int) -> Iterator[str]:
    facts = _declared(wanted)
    found = {"type": column.dtype, **column.facts}
    for name in ("type", "zone", "unit", "ordered", "crs"):
        if name in facts and facts[name] != found.get(name):
            yield f"its {name} is {found.get(name)}, and {facts[name]} was declared"
    if "categories" in facts and (expected := _texts(facts["categories"])) != found.get("categories"):
        yield f"its categories are {found.get('categories')!r:.200}, and {expected!r:.200} were declared"
    if facts.get("nullable") is False and (count := _missing(value, position)):
        yield f"{count:,} values are missing, and none may be"


def _missing(value: Any, position: int) -> int:
    """Return how many values of a column are missing."""
    if _library(value) == "pandas":
        column = value.iloc[:, position] if value.ndim > 1 else value
        return int(column.isna().sum())
    if _library(value) == "polars":
        return int((value.to_series(position) if hasattr(value, "to_series") else value).null_count())
    if hasattr(value, "column"):
        return int(value.column(position).null_count)
    raise SchemaError("a reader of batches can be read once only, so that nullable=False of it cannot be checked")


# -- descriptions --------------------------------------------------------------------------------------------


def _described(value: Any) -> tuple[list[Column], list[Column]] | None:
    """Return the columns of a table and the levels of its index; None if it is no table."""
    library = _library(value)
    if library == "pandas":
        return _of_pandas(value)
    if library == "polars":
        columns = _of_polars(value)
        return None if columns is None else (columns, [])
    if library == "pyarrow" and type(value).__name__ in {"Table", "RecordBatch", "RecordBatchReader"}:
        return [_of_arrow(each) for each in value.schema], []
    return None


def _library(value: Any) -> str | None:
    """Return the library whose table a value is, or may be; of subclasses, that of their base."""
    roots = (module_of(kind).partition(".")[0] for kind in type(value).__mro__)
    return next((root for root in roots if root in _LIBRARIES), None)


def _of_pandas(value: Any) -> tuple[list[Column], list[Column]] | None:
    import pandas as pd

    if not isinstance(value, pd.DataFrame | pd.Series):
        return None
    if isinstance(value, pd.Series):
        labelled: Any = [(value.name, value.array)]
    else:
        labelled = zip(value.columns, cast("Any", value)._iter_column_arrays(), strict=True)  # noqa: SLF001 - iloc takes 20 µs
    index = value.index
    levels = zip(index.names, index.levels, strict=True) if isinstance(index, pd.MultiIndex) else [(index.name, index)]
    return [_of_array(*each) for each in labelled], [_of_array(name, level) for name, level in levels]


def _of_array(label: Any, array: Any) -> Column:
    import numpy as np
    import pandas as pd

    facts = _facts(array.dtype)
    if array.dtype == np.dtype(object):
        facts["items"] = pd.api.types.infer_dtype(array[:SAMPLE], skipna=True)
    if (crs := getattr(array, "crs", None)) is not None and hasattr(crs, "to_string"):
        facts["crs"] = crs.to_string()
    return _labelled(label, str(array.dtype), facts)


def _of_polars(value: Any) -> list[Column] | None:
    import polars as pl

    if isinstance(value, pl.Series):
        return [Column(value.name, _text(value.dtype), _facts(value.dtype))]
    if isinstance(value, pl.DataFrame):
        return [Column(name, _text(dtype), _facts(dtype)) for name, dtype in value.schema.items()]
    return None


def _of_arrow(column: Any) -> Column:
    return Column(column.name, str(column.type), _facts(column.type) | ({} if column.nullable else {"nullable": False}))


def _labelled(label: Any, dtype: str, facts: _Facts) -> Column:
    if isinstance(label, str):
        return Column(str(label), dtype, facts)
    return Column(repr(label), dtype, {**facts, "label": type(label).__name__})


def _text(dtype: Any) -> str:
    """Return a dtype as text, without the categories of an ``Enum``, which are a fact."""
    return "Enum" if hasattr(dtype, "categories") and type(dtype).__name__ == "Enum" else str(dtype)


def _facts(dtype: Any) -> _Facts:
    """Return what of a type of pandas, NumPy, polars or Arrow a contract compares beside its text."""
    import numpy as np

    if isinstance(dtype, np.dtype):
        return {"unit": np.datetime_data(dtype)[0]} if dtype.kind in "mM" else {}
    dtype = getattr(dtype, "pyarrow_dtype", dtype)  # of pandas' columns of Arrow
    facts = {
        "zone": getattr(dtype, "tz", getattr(dtype, "time_zone", None)),
        "unit": getattr(dtype, "unit", getattr(dtype, "time_unit", None)),
    }
    found: _Facts = {name: str(fact) for name, fact in facts.items() if fact is not None}
    categories = getattr(dtype, "categories", None)
    if categories is None or type(dtype).__name__ == "Categorical":  # of polars: its values belong to the data
        return found
    found["categories"] = _texts(categories) if len(categories) <= _MOST_CATEGORIES else len(categories)
    return found | ({"ordered": bool(dtype.ordered)} if hasattr(dtype, "ordered") else {})


def _texts(categories: Any) -> list[str]:
    values = categories.to_list() if hasattr(categories, "to_list") else list(categories)
    return [each if isinstance(each, str) else repr(each) for each in values]
