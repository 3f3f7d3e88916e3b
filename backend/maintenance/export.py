"""A stored value as a file of another format, which holds it exactly or is not written.

Every file is read back and compared before it gets its name.  What is exact is every value and, but for CSV and JSON,
its type: what pandas keeps beside the columns of a frame (which of them are its index, attrs, categories that no row
has) has no place in these formats, and is named by :func:`export`.

Tables go through the codec's own Arrow columns: ``DataFrame.to_parquet`` makes nulls of NaNs without a word.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv, types

from airflow_xcom.backend.errors import ExportError
from airflow_xcom.codecs import SelectionError, encode
from airflow_xcom.codecs.payload import decode_part
from airflow_xcom.codecs.quoting import type_name

_FAMILIES = ("pandas", "polars", "pyarrow", "geopandas")  # libraries whose tables go through Arrow
_SURROGATES = re.compile("[\ud800-\udfff]")
_TABLES = ("DataFrame", "GeoDataFrame", "Series", "GeoSeries", "Table", "RecordBatch", "RecordBatchReader")


def export(value: Any, target: Path, form: str, *, force: bool = False) -> list[str]:
    """Write a value to a file, whole or not at all, and return what the format has no place for.

    Raises:
        ExportError: The format cannot hold the value, or there is such a file, or it cannot be written.
    """
    table, left_out = (None, []) if form == "npy" else _table(value, form)
    if table is None and form in {"parquet", "csv", "arrow"}:
        raise ExportError(form, f"a {type_name(value)} is not a table, which is what {form} holds; see json and npy")
    content = value if table is None else table
    _placed(target, form, lambda file: _WRITERS[form](content, file), force=force)
    return left_out


def _placed(target: Path, form: str, write: Callable[[Path], None], *, force: bool) -> None:
    """Write a file under another name, and give it its own when it is done."""
    if not force and (target.exists() or target.is_symlink()):
        raise ExportError(form, f"{target} exists; --force replaces it")
    temporary = target.with_name(f".{target.name}.{uuid4().hex}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if force:
            temporary.replace(target)
        else:
            os.link(temporary, target)  # which fails where a file has come meanwhile
    except pa.ArrowException as error:
        raise ExportError(form, f"{form} cannot hold the table: {error}") from error
    except FileExistsError as error:
        raise ExportError(form, f"{target} exists; --force replaces it") from error
    except OSError as error:
        raise ExportError(form, f"{target} cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


# -- tables --------------------------------------------------------------------------------------------------


def _table(value: Any, form: str) -> tuple[Any, list[str]]:
    """Return the Arrow table of a value, or None, and what of the value it has no place for."""
    if type(value).__module__.partition(".")[0] not in _FAMILIES or type(value).__name__ not in _TABLES:
        return None, []
    value, left_out = _as_frame(value)
    memory = memoryview(encode(value).to_bytes())
    try:
        table = decode_part(lambda ranges: [memory[slice(*part)] for part in ranges], len(memory), as_="pyarrow")
    except SelectionError as error:
        raise ExportError(form, str(error)) from error
    return _undecorated(table, form, left_out), left_out


def _as_frame(value: Any) -> tuple[Any, list[str]]:
    """Return a frame or table in place of a series, with its index as columns, and what that does not say."""
    left_out = []
    if type(value).__name__ in {"Series", "GeoSeries"}:
        value = value.to_frame()
        left_out.append("that it is a series")
    if not hasattr(value, "attrs"):
        return value, left_out
    if value.attrs:
        left_out.append("attrs")
    if not all(isinstance(label, str) for label in value.columns):
        left_out.append("that labels of columns are not text")
    if not value.index.equals(pd.RangeIndex(len(value))) or value.index.name is not None:
        left_out.append("that the last columns are the index")
        if isinstance(value.index, pd.RangeIndex):  # which has no column
            value = value.set_axis(pd.Index(value.index.to_numpy(), name=value.index.name), axis=0)
    return value, left_out


def _undecorated(table: Any, form: str, left_out: list[str]) -> Any:
    """Return the table without dictionaries, which the format has not, and without metadata."""
    if form != "arrow":
        coded = [number for number, field in enumerate(table.schema) if pa.types.is_dictionary(field.type)]
        for number in coded:
            field = table.field(number)
            column = _decoded(table.column(number), form)
            table = table.set_column(number, pa.field(field.name, column.type, field.nullable), column)
        if coded:
            left_out.append("categories")
    return table.replace_schema_metadata(None)


def _decoded(column: Any, form: str) -> Any:
    """Return the labels of a dictionary's column; a cast does not know all of their types."""
    label_type = column.type.value_type
    try:
        return pa.chunked_array([pc.take(chunk.dictionary, chunk.indices) for chunk in column.chunks], label_type)
    except pa.ArrowException as error:
        raise ExportError(form, f"{form} cannot hold categories of the type {label_type}: {error}") from error


def _write_arrow(table: Any, file: Path) -> None:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pa.memory_map(str(file)) as source:
        _compare("arrow", table, pa.ipc.open_file(source).read_all())


def _write_parquet(table: Any, file: Path) -> None:
    _refuse_types("parquet", table, _is_rewritten)
    pq.write_table(table, file)
    _compare("parquet", table, pq.read_table(file))


def _write_csv(table: Any, file: Path) -> None:
    _refuse_types("csv", table, lambda arrow_type: re.match("(large_|fixed_size_)?binary|duration", str(arrow_type)))
    if not table.num_columns:
        raise ExportError("csv", "the table has no columns, and CSV no rows without any")
    convert = csv.ConvertOptions(
        column_types=dict(zip(table.schema.names, table.schema.types, strict=True)),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    csv.write_csv(table, file)
    parse = csv.ParseOptions(newlines_in_values=True)
    _compare("csv", table, csv.read_csv(file, parse_options=parse, convert_options=convert))


def _refuse_types(form: str, table: Any, lacks: Callable[[Any], Any]) -> None:
    for field in table.schema:
        if lacks(field.type):
            raise ExportError(form, f"column {field.name!r} is of the type {field.type}, which {form} has not")


def _is_rewritten(arrow_type: Any) -> bool:
    """Return whether Parquet has another type for this one, which pyarrow alone reads back."""
    if isinstance(arrow_type, pa.BaseExtensionType) or types.is_duration(arrow_type) or types.is_interval(arrow_type):
        return True
    if types.is_union(arrow_type) or types.is_run_end_encoded(arrow_type):
        return True
    return any(_is_rewritten(arrow_type.field(number).type) for number in range(arrow_type.num_fields))


def _compare(form: str, table: Any, read: Any) -> None:
    """Refuse a file that does not give back what was written to it."""
    if read.num_rows != table.num_rows or read.schema.names != table.schema.names:
        raise ExportError(form, f"{form} does not keep the rows and columns of this table")
    for field, wanted, found in zip(table.schema, table.columns, read.columns, strict=True):
        if found.type != wanted.type or not _same(wanted, found):
            raise ExportError(form, f"{form} does not keep column {field.name!r} ({field.type}) as it is")


def _same(wanted: Any, found: Any) -> bool:
    """Return whether two columns hold the same; a NaN is one."""
    if types.is_floating(wanted.type):
        if wanted.null_count != found.null_count or not wanted.is_null().equals(found.is_null()):
            return False
        one, other = (np.asarray(column.drop_null().to_numpy()) for column in (wanted, found))
        alike = (one == other) & (np.signbit(one) == np.signbit(other))
        return bool(np.all(alike | (np.isnan(one) & np.isnan(other))))
    # Arrow takes no NaN within a list for another.
    return bool(wanted.equals(found)) or repr(wanted.to_pylist()) == repr(found.to_pylist())


# -- JSON and arrays -----------------------------------------------------------------------------------------


def _write_json(value: Any, file: Path) -> None:
    """Write a value of JSON's own types, or the rows of a table of such as objects."""
    rows = value.to_pylist() if isinstance(value, pa.Table) else value
    try:
        _refuse_json(rows, "value")
        text = json.dumps(rows, ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise ExportError("json", "the value is nested too deeply for JSON parsers") from error
    except ValueError as error:  # an int of thousands of digits
        if isinstance(error, ExportError):
            raise
        raise ExportError("json", f"JSON cannot hold the value: {error}") from error
    file.write_text(f"{text}\n", encoding="utf-8")
    if repr(json.loads(file.read_text(encoding="utf-8"))) != repr(rows):
        raise ExportError("json", "JSON does not keep the value as it is")


def _refuse_json(value: Any, path: str) -> None:
    cls = type(value)
    if cls is list:
        for index, item in enumerate(value):
            _refuse_json(item, f"{path}[{index}]")
    elif cls is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise ExportError("json", f"{path} has the key {key!r}, and JSON only keys that are text")
            _refuse_json(key, f"the key {key!r} of {path}")
            _refuse_json(item, f"{path}[{key!r}]")
    elif cls is float and not math.isfinite(value):
        raise ExportError("json", f"{path} is {value!r}, which JSON has no number for")
    elif cls is str and not value.isascii() and _SURROGATES.search(value):
        raise ExportError("json", f"{path} has a lone surrogate, which is not Unicode")
    elif cls not in {str, int, float, bool, type(None)}:
        raise ExportError("json", f"{path} is a {type_name(value)}, which JSON has no type for")


def _write_npy(value: Any, file: Path) -> None:
    if type(value) is not np.ndarray:
        raise ExportError("npy", f"npy holds an array of numpy, and this is a {type_name(value)}")
    if value.dtype.hasobject or value.dtype.metadata:
        raise ExportError("npy", f"npy cannot hold an array of the dtype {value.dtype} without pickle or loss")
    try:
        with file.open("xb") as sink:
            np.save(sink, value, allow_pickle=False)
    except ValueError as error:  # fields out of order, or over each other
        raise ExportError("npy", f"npy cannot hold an array of the dtype {value.dtype}: {error}") from error
    with file.open("rb") as source:
        read = np.lib.format.read_array(source, allow_pickle=False)
    if read.dtype != value.dtype or read.shape != value.shape or read.tobytes() != value.tobytes():
        raise ExportError("npy", f"npy does not keep an array of the dtype {value.dtype} as it is")


_WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "json": _write_json,
    "npy": _write_npy,
    "arrow": _write_arrow,
}
