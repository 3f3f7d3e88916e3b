"""Advice on what to return in place of an object that is not data: the second half of the message that refuses it."""

from __future__ import annotations

__all__ = ["advice_for", "advise"]

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
_PICTURE = "save it to a file or bytes, and return those"

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
    "builtins.generator": _ONCE,
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
    "subprocess.Popen": _HERE,
    "sqlite3.Connection": _HERE,
    "sqlite3.Cursor": _HERE,
    "sqlalchemy.engine.base.Engine": _HERE,
    "sqlalchemy.engine.base.Connection": _HERE,
    "sqlalchemy.orm.session.Session": _HERE,
    "requests.sessions.Session": _HERE,
    "botocore.client.BaseClient": _HERE,
    "weakref.ReferenceType": _HERE,
    "logging.Logger": _HERE,
    "polars.expr.expr.Expr": "it is a query, not its result; return what it selects from a frame",
    "duckdb.DuckDBPyRelation": _QUERY.format("arrow() or value.df()"),
    "duckdb._relation.DuckDBPyRelation": _QUERY.format("arrow() or value.df()"),
    "dask.base.DaskMethodsMixin": _QUERY.format("compute()"),
    "pyspark.sql.dataframe.DataFrame": _QUERY.format("toPandas() or value.toArrow()"),
    "ibis.expr.types.core.Expr": _QUERY.format("execute()"),
    "pandas.core.groupby.groupby.BaseGroupBy": "it is a way to look at a frame; return what is computed from it",
    "pandas.core.window.rolling.BaseWindow": "it is a way to look at a frame; return what is computed from it",
    "pandas.io.formats.style.Styler": "return its frame, value.data, or its text, value.to_html()",
    "numpy.random._generator.Generator": "return value.bit_generator.state",
    "numpy.random.mtrand.RandomState": "return value.get_state(legacy=False)",
    "random.Random": "return value.getstate()",
    "torch.Tensor": _TENSOR,
    "torch.nn.modules.module.Module": _MODEL,
    "sklearn.base.BaseEstimator": _MODEL,
    "xgboost.core.Booster": _MODEL,
    "matplotlib.figure.Figure": _PICTURE,
    "PIL.Image.Image": _PICTURE,
    "pydantic.types._SecretBase": _HIDDEN,
    "pydantic.types._SecretField": _HIDDEN,
    "re.Pattern": "return its text and flags, (value.pattern, value.flags)",
    "re.Match": "return value.groups() or value.groupdict()",
    "types.SimpleNamespace": "return vars(value)",
    "array.array": "return numpy.array(value), or value.tolist()",
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


def advise(name: str, advice: str) -> None:
    """Set what the refusal of a class, and of its subclasses, tells people to do.

    Args:
        name: of the class, as ``"package.module.Class"``.
        advice: what to return in its place.
    """
    _ADVICE[name] = advice


def advice_for(cls: type) -> str:
    """Return what people can do who returned an object of a class that no codec handles."""
    for base in cls.__mro__:
        advice = _ADVICE.get(f"{base.__module__}.{base.__qualname__}")
        if advice is not None:
            return advice
        if (way := _AS_BASE.get(f"{base.__module__}.{base.__qualname__}")) is not None:
            return f"its class would be lost; return {way}, or register a codec with @airflow_xcom.codecs.codec"
    return _ONCE if hasattr(cls, "__next__") else _REGISTER
