"""Advice on what to return in place of an object that is not data: the second half of the message that refuses it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, MappingView
from collections.abc import Set as AbstractSet
from functools import partial
from itertools import islice
from typing import Any

from airflow_xcom.codecs.error_location import cycle, locate
from airflow_xcom.codecs.errors import (
    NO_VALUES,
    CircularReferenceError,
    ClassNotAllowedError,
    EncodeError,
    NestingError,
    UnsupportedTypeError,
)
from airflow_xcom.codecs.object_state import attributes_of
from airflow_xcom.codecs.quoting import class_name, quoted
from airflow_xcom.codecs.registry import Registry

Refusal = Callable[[Any], EncodeError | None]

_ONCE = "it can be gone through only once; return list(value)"

# Advice, and the classes that it is for, or for whose subclasses, by their full names.
_CLASSES = {
    "code is not stored; return what it computes, or a name that the next task looks it up by": (
        *("builtins.function", "builtins.method", "builtins.builtin_function_or_method", "builtins.method_descriptor"),
        *("builtins.wrapper_descriptor", "builtins.code", "builtins.frame", "builtins.module", "builtins.type"),
        *("functools.partial", "functools._lru_cache_wrapper", "numpy.ufunc", "types.GenericAlias", "types.UnionType"),
        *("typing._Final", "builtins.property", "builtins.classmethod", "builtins.staticmethod", "operator.itemgetter"),
        *("operator.attrgetter", "numpy.vectorize"),
    ),
    "it has no end; return list(itertools.islice(value, 100)), or as many as you need": (
        *("itertools.cycle", "itertools.count", "itertools.repeat"),
    ),
    "it is a view of another object; return list(value)": (
        *("builtins.dict_keys", "builtins.dict_values", "builtins.dict_items", "sqlalchemy.engine.result.RMKeyView"),
    ),
    "it has no result yet; await it, and return the result": ("builtins.coroutine", "_asyncio.Future"),
    "it is a query, not its result; return what it selects from a frame": (
        *("polars.expr.expr.Expr", "polars.expr.whenthen.When"),
    ),
    "return value.getvalue()": ("_io.BytesIO", "_io.StringIO"),
    "an open file stays on its worker; return its content, or a path or URL that every worker can read": (
        *("_io._IOBase", "tempfile._TemporaryFileWrapper", "_csv.writer", "zipfile.ZipFile", "tarfile.TarFile"),
        *("pyarrow.lib.NativeFile", "pandas.io.pytables.HDFStore", "h5py._hl.base.HLObject"),
        *("pyarrow.parquet.core.ParquetFile",),
    ),
    "it lives in this process only; return what the next task needs to make its own, such as a connection id": (
        *("_socket.socket", "_thread.lock", "_thread.RLock", "threading.Thread", "threading.Event"),
        *("threading.Condition", "threading.Semaphore", "threading.Barrier", "_thread._local", "queue.Queue"),
        *("concurrent.futures._base.Executor", "asyncio.events.AbstractEventLoop", "asyncio.mixins._LoopBoundMixin"),
        *("multiprocessing.process.BaseProcess", "subprocess.Popen", "sqlite3.Connection", "sqlite3.Cursor"),
        *("sqlalchemy.engine.base.Engine", "sqlalchemy.engine.base.Connection", "sqlalchemy.orm.session.Session"),
        *("requests.sessions.Session", "botocore.client.BaseClient", "logging.Logger"),
        *("weakref.ProxyType", "weakref.CallableProxyType", "_queue.SimpleQueue", "multiprocessing.queues.Queue"),
        *("multiprocessing.synchronize.SemLock", "_duckdb.DuckDBPyConnection"),
        *("pymongo.synchronous.mongo_client.MongoClient", "pymongo.synchronous.database.Database"),
        *("pymongo.synchronous.collection.Collection",),
    ),
    "a response belongs to its connection; return value.json(), value.text or value.content": (
        *("requests.models.Response", "httpx.Response"),
    ),
    "it is a query, not its result; return value.arrow() or value.df()": (
        *("duckdb.DuckDBPyRelation", "duckdb._relation.DuckDBPyRelation"),
    ),
    "it is a way to look at data; return what is computed from it": (
        *("pandas.core.groupby.groupby.BaseGroupBy", "pandas.core.window.rolling.BaseWindow"),
        *("pandas.plotting.PlotAccessor", "pandas.core.strings.accessor.StringMethods"),
        *("pandas.core.accessor.PandasDelegate", "pandas.core.indexing._LocIndexer"),
        *("pandas.core.indexing._iLocIndexer", "pandas.core.indexing._ScalarAccessIndexer"),
        *(f"polars.dataframe.group_by.{kind}GroupBy" for kind in ("", "Dynamic", "Rolling")),
        *("pyarrow.lib.TableGroupBy", "xarray.core.groupby.GroupBy"),
        *("xarray.computation.rolling.Rolling", "xarray.core.rolling.Rolling"),
    ),
    "it is a query, not its result; return value.to_table()": ("pyarrow._dataset.Dataset", "pyarrow._dataset.Scanner"),
    "a model is code and data; save it with its own library, and return where it is": (
        *("torch.nn.modules.module.Module", "statsmodels.base.wrapper.ResultsWrapper"),
    ),
    "a secret is not stored where others can read it; return the id of a connection that has it": (
        *("pydantic.types._SecretBase", "pydantic.types._SecretField"),
    ),
    "return dict(value)": (
        *("weakref.WeakValueDictionary", "cassandra.util.OrderedMap", "urllib3._collections.HTTPHeaderDict"),
    ),
    "return {column.key: getattr(value, column.key) for column in value.__table__.columns}": (
        *("sqlalchemy.orm.decl_api.DeclarativeBase", "sqlalchemy.orm.decl_api.Base"),
    ),
    "return value.__wrapped__": ("builtins.Proxy", "_wrappers.ObjectProxy", "builtins.ObjectProxy"),
    "return value.asDict()": ("pyspark.sql.types.Row", "databricks.sql.types.Row"),
    "return list(value)": (
        *("cassandra.util.SortedSet", "google._upb._message.RepeatedScalarContainer", "_ctypes.Array"),
    ),
    "return [(str(key), item) for key, item in value.items()], which has keys that occur twice": (
        *(
            f"multidict._multidict.{kind}"
            for kind in ("MultiDict", "CIMultiDict", "MultiDictProxy", "CIMultiDictProxy")
        ),
    ),
    "return str(value)": (
        *("packaging.version.Version", "yarl.URL", "sqlalchemy.sql.type_api.TypeEngine"),
        *("_duckdb._sqltypes.DuckDBPyType",),
    ),
    "return value.hexdigest()": ("_hashlib.HASH", "_blake2.blake2b", "_blake2.blake2s", "hmac.HMAC"),
    "return value.raw_result": ("pymongo.results.DeleteResult", "pymongo.results.UpdateResult"),
    "return value.to_dict()": ("pyarrow._parquet.FileMetaData", "pyarrow._parquet.Statistics"),
    "return value.to_native()": ("narwhals.dataframe.BaseFrame", "narwhals.series.Series"),
    "return value.to_api_repr()": (
        *("google.cloud.bigquery.schema.SchemaField", "google.cloud.bigquery.dataset.DatasetReference"),
        *("google.cloud.bigquery.table.TableReference", "google.cloud.bigquery.table._TableBase"),
    ),
}
_ADVICE = {name: advice for advice, names in _CLASSES.items() for name in names} | {
    "builtins.generator": _ONCE,
    "croniter.croniter.croniter": 'it has no end; return " ".join(value.expressions)',
    "builtins.memoryview": "it does not own its memory; return bytes(value) or bytearray(value)",
    "builtins.mappingproxy": "it is a view of another object; return dict(value)",
    "builtins.async_generator": "it has no result yet; return [item async for item in value]",
    "concurrent.futures._base.Future": "it has no result yet; return value.result()",
    "builtins.traceback": "return ''.join(traceback.format_tb(value))",
    "builtins.BaseException": "an exception is raised, not returned; return str(value), or its attributes",
    "sqlalchemy.sql.elements.ClauseElement": "it is a statement, not its result; return str(value), or what it selects",
    "sqlalchemy.engine.result.Result": (
        "it can be gone through only once; return [dict(row) for row in value.mappings()]"
    ),
    "dask.base.DaskMethodsMixin": "it is a query, not its result; return value.compute()",
    "pyspark.sql.dataframe.DataFrame": "it is a query, not its result; return value.toPandas() or value.toArrow()",
    "ibis.expr.types.core.Expr": "it is a query, not its result; return value.execute()",
    "pandas.io.formats.style.Styler": "return its frame, value.data, or its text, value.to_html()",
    "pyarrow.lib.Buffer": "return value.to_pybytes()",
    "pyarrow._compute.Expression": "it is a query, not its result; return what it selects from a table",
    "numpy.poly1d": "return value.coeffs",
    "numpy.polynomial._polybase.ABCPolyBase": "return value.coef",
    "numpy.random._generator.Generator": "return value.bit_generator.state",
    "numpy.random.mtrand.RandomState": "return value.get_state(legacy=False)",
    "random.Random": "return value.getstate()",
    "torch.Tensor": "return it as an array, value.detach().cpu().numpy()",
    "matplotlib.figure.Figure": "save it to a file or bytes, and return those",
    "PIL.Image.Image": "it belongs to a file; return value.copy(), an image of its own",
    "aiohttp.client_reqrep.ClientResponse": "it is still being read; return await value.json() or await value.read()",
    "urllib3.response.BaseHTTPResponse": "return value.json() or value.data, and value.status",
    "http.client.HTTPResponse": "return value.read(), and value.status",
    "botocore.response.StreamingBody": "it can be read only once; return value.read()",
    "requests.cookies.RequestsCookieJar": "return value.get_dict()",
    "http.cookies.BaseCookie": "return {name: morsel.value for name, morsel in value.items()}",
    "http.cookies.Morsel": "return value.value, or value.OutputString(), which has its attributes",
    "email.message.Message": "return value.as_bytes(), which email.message_from_bytes() reads",
    "bs4.element.Tag": "it is a part of a tree; return str(value), or what you need of it",
    "bs4.element.ResultSet": "its elements are parts of a tree; return [str(element) for element in value]",
    "bson.raw_bson.RawBSONDocument": "return bson.decode(value.raw)",
    "sortedcontainers.sortedlist.SortedKeyList": "it sorts by a function, which is code; return list(value)",
    "re.Match": "return value.groups() or value.groupdict()",
    "weakref.ReferenceType": "it keeps no object alive; return value(), which is the object",
    "configparser.RawConfigParser": "return {name: dict(section) for name, section in value.items()}",
    "xml.etree.ElementTree.Element": "return xml.etree.ElementTree.tostring(value)",
    "xml.etree.ElementTree.ElementTree": "return xml.etree.ElementTree.tostring(value.getroot())",
    "xml.dom.minidom.Node": "return value.toxml()",
    "string.Template": "return value.template",
    "_struct.Struct": "return value.format",
    "os._Environ": "it may hold secrets; return the variables that the next task needs, by their names",
    "array.array": "return numpy.array(value), or value.tolist()",
    "slack_sdk.web.slack_response.SlackResponse": "return value.data",
    "elastic_transport.ApiResponse": "return value.body",
    "cassandra.util.Date": "return value.date()",
    "cassandra.util.Time": "return value.time()",
    "google.api_core.datetime_helpers.DatetimeWithNanoseconds": "return value.rfc3339(), which has the nanoseconds",
    "google.protobuf.message.Message": "return google.protobuf.json_format.MessageToDict(value)",
    "proto.message.Message": "return type(value).to_dict(value)",
    "datetime.tzinfo": "return times in UTC, in a zoneinfo.ZoneInfo or in a datetime.timezone",
    "arrow.arrow.Arrow": "return value.datetime",
    "posix.DirEntry": "return value.path",
    "posix.ScandirIterator": "return [entry.path for entry in value]",
    "pymongo.results.InsertOneResult": "return value.inserted_id",
    "pymongo.results.InsertManyResult": "return value.inserted_ids",
    "pymongo.results.BulkWriteResult": "return value.bulk_api_result",
    "httpx.QueryParams": "return value.multi_items(), which has keys that occur twice",
    "PIL.TiffImagePlugin.IFDRational": "return float(value), or fractions.Fraction(value.numerator, value.denominator)",
    "plotly.basedatatypes.BasePlotlyType": "return value.to_plotly_json()",
    "polars.datatypes.classes.Field": "return (value.name, value.dtype)",
    "pyarrow.lib.Tensor": "return value.to_numpy()",
    "pyparsing.results.ParseResults": "return value.as_list(), or value.as_dict()",
    "_ctypes._SimpleCData": "return value.value",
}
# How a value of a subclass becomes one of the class that is stored.
_NATIVES = ("str", "int", "float", "complex", "bytes", "bytearray", "list", "tuple", "set", "frozenset", "dict")
_CALLED = ("collections.OrderedDict", "collections.Counter", "decimal.Decimal", "fractions.Fraction")
_AS_BASE = {
    **{f"builtins.{name}": f"{name}(value)" for name in _NATIVES},
    **{name: f"{name}(value)" for name in (*_CALLED, "pandas.DataFrame", "pandas.Series")},
    **dict.fromkeys(("collections.UserDict", "collections.UserList", "collections.UserString"), "value.data"),
    "collections.deque": "collections.deque(value, value.maxlen)",
    "collections.ChainMap": "dict(value)",
    **dict.fromkeys(("types.SimpleNamespace", "argparse.Namespace", "subprocess.CompletedProcess"), "vars(value)"),
    "datetime.datetime": "datetime.datetime.combine(value.date(), value.timetz())",
    "datetime.date": "datetime.date(value.year, value.month, value.day)",
    "datetime.time": "datetime.time.fromisoformat(value.isoformat())",
    "datetime.timedelta": "datetime.timedelta(value.days, value.seconds, value.microseconds)",
    "uuid.UUID": "uuid.UUID(int=value.int)",
    "pathlib.PurePath": "str(value)",
    "pydantic.networks._BaseUrl": "str(value)",
    "pydantic.networks._BaseMultiHostUrl": "str(value)",
    "numpy.ma.MaskedArray": "value.view(numpy.ma.MaskedArray)",
    "numpy.ndarray": "numpy.asarray(value)",
    **{
        f"networkx.classes.{name.lower()}.{name}": f"networkx.{name}(value)"
        for name in ("MultiDiGraph", "MultiGraph", "DiGraph", "Graph")
    },
    "pandas.core.frame.DataFrame": "pandas.DataFrame(value)",
    "pandas.core.series.Series": "pandas.Series(value)",
}
# And that of another class, which behaves like one of them.
_AS_KIND: dict[type, str] = {
    MappingView: "list(value)",
    Mapping: "dict(value)",
    AbstractSet: "set(value)",
    Collection: "list(value)",
}
_GATHERED = (list, tuple, set, frozenset, dict)
_TRIED = 1000  # items, which may come from elsewhere one by one
_CLASS_LOST, _OR_REGISTER = "its class would be lost; return", ", or register a codec with @airflow_xcom.codecs.codec"
_REGISTER = "register one with @airflow_xcom.codecs.codec, or return a type that has one"


def is_advised(cls: type) -> bool:
    """Return whether there is advice what to return in place of objects of a class."""
    return any(class_name(base) in _ADVICE or class_name(base) in NO_VALUES for base in cls.__mro__)


def explained(error: EncodeError, value: Any, registry: Registry, encode: Callable[[Any], Any]) -> EncodeError:
    """Return an error with its place, and completed as :func:`explain` does, which has the arguments."""
    if isinstance(error, NestingError) and (found := cycle(error.trail)):
        error = CircularReferenceError(found[0])
        error.trail = list(found)
    else:
        explain(error, value, registry, encode)
    error.path = locate(value, error.trail, error.step)
    return error


def explain(error: EncodeError, value: Any, registry: Registry, encode: Callable[[Any], Any]) -> None:
    """Complete an error with what to do.  Advice is tried first, and not given if it would be refused as well."""
    if _explain_no_value(error, value) or not isinstance(error, UnsupportedTypeError):
        return
    refusal = partial(_refusal, encode)
    if error.lacks_advice:
        error.reason += f"; {_advice_for(error.trail[0], refusal)}"
        error.lacks_advice = False
    elif isinstance(error.__cause__, ClassNotAllowedError):
        _explain_class(error, error.trail[0] if error.trail else value, registry, refusal)
    error.reason = "; ".join([error.reason, *registry.entry_points.failures])


def _refusal(encode: Callable[[Any], Any], part: Any) -> EncodeError | None:
    """Return the error by which a part is refused, with the place in it; None if it is not."""
    try:
        encode(part)
    except EncodeError as error:
        error.path = locate(part, error.trail, error.step)
        return error
    except RecursionError:
        return EncodeError("it is nested too deeply")
    return None


def _explain_no_value(error: EncodeError, value: Any) -> bool:
    """Let an error tell of the outermost object on the way to it that is no value, if there is one."""
    for depth, item in enumerate([value, *reversed(error.trail)]):
        names = map(class_name, type(item).__mro__)
        if (advice := next((NO_VALUES[name] for name in names if name in NO_VALUES), None)) is not None:
            error.trail = error.trail[len(error.trail) - depth :] if depth else []
            error.step, error.reason = "", f"no codec handles {class_name(type(item))}; {advice}"
            return True
    return False


def _explain_class(error: EncodeError, part: Any, registry: Registry, refusal: Refusal) -> None:
    """Say which classes are to be allowed, all at once, and what would be refused even then."""
    with registry.allowing() as names:
        other = refusal(part)
    if other is None:
        several, its = " and ".join(names), "its" if len(names) == 1 else "their"
        error.reason = f"{several} may not be restored by {its} name: {registry.remedy(names)}"
        error.reason += ", or register it with @airflow_xcom.codecs.codec"
        return
    if isinstance(other, UnsupportedTypeError) and other.lacks_advice:
        other.reason += f"; {_advice_for(other.trail[0], refusal)}"
    error.step += other.path.removeprefix("value")
    error.reason = other.reason
    if other.path != "value":
        error.reason += f"; then, for {' and '.join(names)}, {registry.remedy(names)}"


def _advice_for(part: Any, refusal: Refusal) -> str:
    """Return what people can do who returned an object that no codec handles."""
    for name in map(class_name, type(part).__mro__):
        if name in _ADVICE:
            return _ADVICE[name]
        if name in _AS_BASE and (advice := _advice_as_base(_AS_BASE[name], part, refusal)) is not None:
            is_beside = name in _CALLED or name.startswith("builtins.")
            lost = _named_attributes(part) if is_beside else []
            return f"{advice}; its attributes {quoted(lost)} would be lost, too" if lost else advice
    if issubclass(type(part), Iterator):
        return _ONCE
    ways = (way for kind, way in _AS_KIND.items() if issubclass(type(part), kind) and _is_short(part))
    advice = next((advice for way in ways if (advice := _advice_as_base(way, part, refusal))), _REGISTER)
    state = attributes_of(part)
    if advice is _REGISTER and state and refusal(state) is None:
        return f"{_CLASS_LOST} vars(value){_OR_REGISTER}"
    return advice


def _named_attributes(part: Any) -> list[str]:
    return [name for name in attributes_of(part) if type(name) is str and not name.startswith("_")]


def _is_short(part: Any) -> bool:
    try:
        return len(part) <= _TRIED
    except Exception:  # noqa: BLE001 - it is the class's own code
        return False


def _advice_as_base(way: str, part: Any, refusal: Refusal) -> str | None:
    """Return the advice to return a part as its base class; None if that is refused."""
    try:
        other = refusal(_converted(way, part))
    except Exception:  # noqa: BLE001 - it is the class's own code
        return None
    if other is None:
        return f"{_CLASS_LOST} {way}{_OR_REGISTER}"
    if other.path == "value":
        return None
    place = way + other.path.removeprefix("value")
    return f"{_CLASS_LOST} {way}, and replace {place}, too: {other.reason}"


def _converted(way: str, part: Any) -> Any:
    """Return what a call of :data:`_AS_BASE` makes of a part; None where it makes a scalar, which is never refused."""
    name, _, arguments = way.partition("(")
    if name == "value.data":
        return part.data
    if arguments != "value)":
        return None
    module, _, attribute = name.rpartition(".")
    kind = getattr(sys.modules[module or "builtins"], attribute)
    return _gathered(kind, part) if kind in _GATHERED else kind(part)


def _gathered(kind: Any, part: Any) -> Any:
    """Return ``kind(part)``, unless the class of a part goes on for longer than it says: it may never end."""
    if kind is dict and type(part).__iter__ is dict.__iter__:
        return dict(part)
    most = kind.__len__(part) if issubclass(type(part), kind) else _TRIED
    items = list(islice(part.keys() if kind is dict else part, most + 1))
    if len(items) > most:
        raise ValueError("it has more items than it says")
    return {key: part[key] for key in items} if kind is dict else kind(items)
