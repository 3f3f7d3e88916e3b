"""Advice on what to return in place of an object that is not data: the second half of the message that refuses it."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.error_location import cycle, locate
from airflow_xcom.codecs.errors import (
    NO_VALUES,
    CircularReferenceError,
    ClassNotAllowedError,
    EncodeError,
    NestingError,
    UnsupportedTypeError,
)
from airflow_xcom.codecs.quoting import class_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_xcom.codecs.registry import Registry

    Refusal = Callable[[Any], EncodeError | None]

_CODE = "code is not stored; return what it computes, or a name that the next task looks it up by"
_ONCE = "it can be gone through only once; return list(value)"
_VIEW = "it is a view of another object; return list(value)"
_LATER = "it has no result yet; await it, and return the result"
_HERE = "it lives in this process only; return what the next task needs to make its own, such as a connection id"
_FILE = "an open file stays on its worker; return its content, or a path or URL that every worker can read"
_BUFFER = "return value.getvalue()"
_QUERY = "it is a query, not its result; return value.{}"
_TENSOR = "return it as an array, value.detach().cpu().numpy()"
_MODEL = "a model is code and data; save it with its own library, and return where it is"
_HIDDEN = "a secret is not stored where others can read it; return the id of a connection that has it"
_ENDLESS = "it has no end; return list(itertools.islice(value, 100)), or as many as you need"
_LOOK = "it is a way to look at data; return what is computed from it"
_ROWS = "it can be gone through only once; return [dict(row) for row in value.mappings()]"
_STATEMENT = "it is a statement, not its result; return str(value), or what it selects"
_RESPONSE = "a response belongs to its connection; return value.json(), value.text or value.content"
_TABLE = _QUERY.format("to_table()")
_PICTURE = "save it to a file or bytes, and return those"

_REFERENCES = ("dataset.DatasetReference", "table.TableReference", "table._TableBase")

# A class, or one of its bases, by its full name.
_ADVICE = {
    "builtins.function": _CODE,
    "builtins.method": _CODE,
    "builtins.builtin_function_or_method": _CODE,
    "builtins.method_descriptor": _CODE,
    "builtins.wrapper_descriptor": _CODE,
    "builtins.code": _CODE,
    "builtins.frame": _CODE,
    "builtins.module": _CODE,
    "builtins.type": _CODE,
    "functools.partial": _CODE,
    "functools._lru_cache_wrapper": _CODE,
    "numpy.ufunc": _CODE,
    "types.GenericAlias": _CODE,
    "types.UnionType": _CODE,
    "typing._Final": _CODE,
    "builtins.property": _CODE,
    "builtins.classmethod": _CODE,
    "builtins.staticmethod": _CODE,
    "operator.itemgetter": _CODE,
    "operator.attrgetter": _CODE,
    "builtins.generator": _ONCE,
    "itertools.cycle": _ENDLESS,
    "itertools.count": _ENDLESS,
    "itertools.repeat": _ENDLESS,
    "croniter.croniter.croniter": 'it has no end; return " ".join(value.expressions)',
    "builtins.dict_keys": _VIEW,
    "builtins.dict_values": _VIEW,
    "builtins.dict_items": _VIEW,
    "builtins.mappingproxy": "it is a view of another object; return dict(value)",
    "builtins.coroutine": _LATER,
    "builtins.async_generator": "it has no result yet; return [item async for item in value]",
    "_asyncio.Future": _LATER,
    "concurrent.futures._base.Future": "it has no result yet; return value.result()",
    "builtins.traceback": "return ''.join(traceback.format_tb(value))",
    "builtins.BaseException": "an exception is raised, not returned; return str(value), or its attributes",
    "_io.BytesIO": _BUFFER,
    "_io.StringIO": _BUFFER,
    "_io._IOBase": _FILE,
    "tempfile._TemporaryFileWrapper": _FILE,
    "_csv.writer": _FILE,
    "zipfile.ZipFile": _FILE,
    "tarfile.TarFile": _FILE,
    "pyarrow.lib.NativeFile": _FILE,
    "pandas.io.pytables.HDFStore": _FILE,
    "h5py._hl.base.HLObject": _FILE,
    "_socket.socket": _HERE,
    "_thread.lock": _HERE,
    "_thread.RLock": _HERE,
    "threading.Thread": _HERE,
    "threading.Event": _HERE,
    "threading.Condition": _HERE,
    "threading.Semaphore": _HERE,
    "threading.Barrier": _HERE,
    "_thread._local": _HERE,
    "queue.Queue": _HERE,
    "concurrent.futures._base.Executor": _HERE,
    "asyncio.events.AbstractEventLoop": _HERE,
    "asyncio.mixins._LoopBoundMixin": _HERE,
    "multiprocessing.process.BaseProcess": _HERE,
    "subprocess.Popen": _HERE,
    "sqlite3.Connection": _HERE,
    "sqlite3.Cursor": _HERE,
    "sqlalchemy.engine.base.Engine": _HERE,
    "sqlalchemy.engine.base.Connection": _HERE,
    "sqlalchemy.orm.session.Session": _HERE,
    "sqlalchemy.sql.elements.ClauseElement": _STATEMENT,
    "sqlalchemy.engine.result.Result": _ROWS,
    "requests.sessions.Session": _HERE,
    "requests.models.Response": _RESPONSE,
    "httpx.Response": _RESPONSE,
    "botocore.client.BaseClient": _HERE,
    "weakref.ReferenceType": _HERE,
    "logging.Logger": _HERE,
    "polars.expr.expr.Expr": "it is a query, not its result; return what it selects from a frame",
    "duckdb.DuckDBPyRelation": _QUERY.format("arrow() or value.df()"),
    "duckdb._relation.DuckDBPyRelation": _QUERY.format("arrow() or value.df()"),
    "dask.base.DaskMethodsMixin": _QUERY.format("compute()"),
    "pyspark.sql.dataframe.DataFrame": _QUERY.format("toPandas() or value.toArrow()"),
    "ibis.expr.types.core.Expr": _QUERY.format("execute()"),
    "pandas.core.groupby.groupby.BaseGroupBy": _LOOK,
    "pandas.core.window.rolling.BaseWindow": _LOOK,
    "pandas.io.formats.style.Styler": "return its frame, value.data, or its text, value.to_html()",
    "pandas.plotting.PlotAccessor": _LOOK,
    "pandas.core.strings.accessor.StringMethods": _LOOK,
    "pandas.core.indexes.accessors.Properties": _LOOK,
    "pandas.core.indexing._LocIndexer": _LOOK,
    "pandas.core.indexing._iLocIndexer": _LOOK,
    "polars.dataframe.group_by.GroupBy": _LOOK,
    "xarray.core.groupby.GroupBy": _LOOK,
    "xarray.computation.rolling.Rolling": _LOOK,
    "xarray.core.rolling.Rolling": _LOOK,
    "pyarrow.lib.Buffer": "return value.to_pybytes()",
    "pyarrow._dataset.Dataset": _TABLE,
    "pyarrow._dataset.Scanner": _TABLE,
    "pyarrow._compute.Expression": "it is a query, not its result; return what it selects from a table",
    "numpy.poly1d": "return value.coeffs",
    "numpy.polynomial._polybase.ABCPolyBase": "return value.coef",
    "numpy.random._generator.Generator": "return value.bit_generator.state",
    "numpy.random.mtrand.RandomState": "return value.get_state(legacy=False)",
    "random.Random": "return value.getstate()",
    "packaging.version.Version": "return str(value)",
    "torch.Tensor": _TENSOR,
    "torch.nn.modules.module.Module": _MODEL,
    "matplotlib.figure.Figure": _PICTURE,
    "PIL.Image.Image": "it belongs to a file; return value.copy(), an image of its own",
    "pydantic.types._SecretBase": _HIDDEN,
    "pydantic.types._SecretField": _HIDDEN,
    "aiohttp.client_reqrep.ClientResponse": "it is still being read; return await value.json() or await value.read()",
    "urllib3.response.BaseHTTPResponse": "return value.json() or value.data, and value.status",
    "http.client.HTTPResponse": "return value.read(), and value.status",
    "botocore.response.StreamingBody": "it can be read only once; return value.read()",
    "requests.cookies.RequestsCookieJar": "return value.get_dict()",
    "email.message.Message": "return value.as_bytes(), which email.message_from_bytes() reads",
    "bs4.element.Tag": "it is a part of a tree; return str(value), or what you need of it",
    "bs4.element.ResultSet": "its elements are parts of a tree; return [str(element) for element in value]",
    "bson.raw_bson.RawBSONDocument": "return bson.decode(value.raw)",
    "psycopg2.tz.LocalTimezone": "it depends on this machine; use zoneinfo.ZoneInfo(name), or convert to UTC",
    "sortedcontainers.sortedlist.SortedKeyList": "it sorts by a function, which is code; return list(value)",
    "re.Match": "return value.groups() or value.groupdict()",
    "types.SimpleNamespace": "return vars(value)",
    "argparse.Namespace": "return vars(value)",
    "subprocess.CompletedProcess": "return vars(value)",
    "configparser.RawConfigParser": "return {name: dict(section) for name, section in value.items()}",
    "xml.etree.ElementTree.Element": "return xml.etree.ElementTree.tostring(value)",
    "xml.etree.ElementTree.ElementTree": "return xml.etree.ElementTree.tostring(value.getroot())",
    "xml.dom.minidom.Node": "return value.toxml()",
    "string.Template": "return value.template",
    "_struct.Struct": "return value.format",
    "_hashlib.HASH": "return value.hexdigest()",
    "weakref.WeakValueDictionary": "return dict(value)",
    "os._Environ": "it may hold secrets; return the variables that the next task needs, by their names",
    "array.array": "return numpy.array(value), or value.tolist()",
    **dict.fromkeys(("builtins.Proxy", "_wrappers.ObjectProxy", "builtins.ObjectProxy"), "return value.__wrapped__"),
    "sqlalchemy.engine.result.RMKeyView": _VIEW,
    "slack_sdk.web.slack_response.SlackResponse": "return value.data",
    "elastic_transport.ApiResponse": "return value.body",
    **dict.fromkeys(("pyspark.sql.types.Row", "databricks.sql.types.Row"), "return value.asDict()"),
    **dict.fromkeys(("cassandra.util.OrderedMap", "urllib3._collections.HTTPHeaderDict"), "return dict(value)"),
    **dict.fromkeys(("cassandra.util.SortedSet", "google._upb._message.RepeatedScalarContainer"), "return list(value)"),
    "cassandra.util.Date": "return value.date()",
    "cassandra.util.Time": "return value.time()",
    "google.api_core.datetime_helpers.DatetimeWithNanoseconds": "return value.rfc3339(), which has the nanoseconds",
    "google.protobuf.message.Message": "return google.protobuf.json_format.MessageToDict(value)",
    "proto.message.Message": "return type(value).to_dict(value)",
    "google.cloud.bigquery.schema.SchemaField": "return value.to_api_repr()",
    **dict.fromkeys((f"google.cloud.bigquery.{name}" for name in _REFERENCES), "return value.to_api_repr()"),
    "statsmodels.base.wrapper.ResultsWrapper": _MODEL,
}
# How a value of a subclass becomes one of the class that is stored.
_AS_BASE = {
    "builtins.str": "str(value)",
    "builtins.int": "int(value)",
    "builtins.float": "float(value)",
    "builtins.complex": "complex(value)",
    "builtins.bytes": "bytes(value)",
    "builtins.bytearray": "bytearray(value)",
    "builtins.list": "list(value)",
    "builtins.tuple": "tuple(value)",
    "builtins.set": "set(value)",
    "builtins.frozenset": "frozenset(value)",
    "collections.OrderedDict": "collections.OrderedDict(value)",
    "collections.Counter": "collections.Counter(value)",
    "collections.deque": "collections.deque(value, value.maxlen)",
    "builtins.dict": "dict(value)",
    "collections.UserDict": "value.data",
    "collections.UserList": "value.data",
    "collections.UserString": "value.data",
    "collections.ChainMap": "dict(value)",
    "datetime.datetime": "datetime.datetime.combine(value.date(), value.timetz())",
    "datetime.date": "datetime.date(value.year, value.month, value.day)",
    "datetime.time": "datetime.time.fromisoformat(value.isoformat())",
    "datetime.timedelta": "datetime.timedelta(value.days, value.seconds, value.microseconds)",
    "decimal.Decimal": "decimal.Decimal(value)",
    "fractions.Fraction": "fractions.Fraction(value)",
    "uuid.UUID": "uuid.UUID(int=value.int)",
    "pathlib.PurePath": "str(value)",
    "pydantic.networks._BaseUrl": "str(value)",
    "pydantic.networks._BaseMultiHostUrl": "str(value)",
    "numpy.ndarray": "numpy.asarray(value)",
    "pandas.core.frame.DataFrame": "pandas.DataFrame(value)",
    "pandas.core.series.Series": "pandas.Series(value)",
    "pandas.DataFrame": "pandas.DataFrame(value)",
    "pandas.Series": "pandas.Series(value)",
}
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
        several = " and ".join(names)
        error.reason = f"{several} may not be restored by {_its(names)} name: {registry.remedy(names)}"
        error.reason += ", or register it with @airflow_xcom.codecs.codec"
        return
    if isinstance(other, UnsupportedTypeError) and other.lacks_advice:
        other.reason += f"; {_advice_for(other.trail[0], refusal)}"
    error.step += other.path.removeprefix("value")
    error.reason = other.reason
    if other.path != "value":
        error.reason += f"; then, for {' and '.join(names)}, {registry.remedy(names)}"


def _its(names: Collection[str]) -> str:
    return "its" if len(names) == 1 else "their"


def _advice_for(part: Any, refusal: Refusal) -> str:
    """Return what people can do who returned an object that no codec handles."""
    for name in map(class_name, type(part).__mro__):
        if name in _ADVICE:
            return _ADVICE[name]
        if name in _AS_BASE and (advice := _advice_as_base(_AS_BASE[name], part, refusal)) is not None:
            return advice
    return _ONCE if hasattr(type(part), "__next__") else _REGISTER


def _advice_as_base(way: str, part: Any, refusal: Refusal) -> str | None:
    """Return the advice to return a part as its base class; None if that is refused."""
    try:
        other = refusal(_converted(way, part))
    except Exception:  # noqa: BLE001 - it is the class's own code
        return None
    if other is None:
        return f"its class would be lost; return {way}, or register a codec with @airflow_xcom.codecs.codec"
    if other.path == "value":
        return None
    place = way + other.path.removeprefix("value")
    return f"its class would be lost; return {way}, where {place} is to be replaced, too: {other.reason}"


def _converted(way: str, part: Any) -> Any:
    """Return what a call of :data:`_AS_BASE` makes of a part; None where it makes a scalar, which is never refused."""
    name, _, arguments = way.partition("(")
    if name == "value.data":
        return part.data
    if arguments != "value)":
        return None
    module, _, attribute = name.rpartition(".")
    return getattr(sys.modules[module or "builtins"], attribute)(part)
