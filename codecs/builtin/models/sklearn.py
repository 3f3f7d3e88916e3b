"""Estimators and pipelines of scikit-learn, as skops takes them apart: ``[version, protocol, schema, parts]``.

::

    version    of scikit-learn, which alone is sure to predict the same
    protocol   of skops
    schema     its schema.json, in which objects that repeat have an ``__id__``, counted from 1
    parts      the arrays and bytes that the schema calls "0.npy", "1.npz", "2.bin"

skops trusts scikit-learn's own estimators. Whatever else a model names needs to be allowed, where it is pushed and
where it is pulled: classes that native code reads unchecked, such as trees, and classes and functions of other
packages. Here a name must be that of a class or function itself, and of the schema's kinds of nodes only those are
read that call nothing else. The zip archive that skops reads is made here; no archive is ever part of a payload.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import scipy.sparse
import sklearn
from sklearn.base import BaseEstimator

from airflow_xcom.codecs.builtin.models.checks import checked_encode
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import (
    ClassNotAllowedError,
    CorruptPayloadError,
    LibraryVersionError,
    UnsupportedValueError,
)
from airflow_xcom.codecs.nodes import as_list, as_text
from airflow_xcom.codecs.quoting import cut, described, quoted

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # skops looks for SciPy's functions in every module, some of which warn of that
    import skops.io
    from skops.io._protocol import PROTOCOL

_FIRST_PROTOCOL = 2
_SPARSE = {f"{cls.__module__}.{cls.__qualname__}" for cls in vars(scipy.sparse).values() if isinstance(cls, type)}
# What needs nobody's leave, for it is checked here or harmless, and the only kinds of nodes that may name it.
_CHECKED = {
    **dict.fromkeys(_SPARSE, ("SparseMatrixNode",)),
    "numpy.dtype": ("DTypeNode",),
    "collections.OrderedDict": ("DictNode", "TypeNode"),
    "sklearn.utils._bunch.Bunch": ("DictNode",),
}
_NAMING = ("ObjectNode", "TypeNode", "TreeNode", "TupleNode", "DictNode")  # the kinds that may name an allowed class
_LOADERS = frozenset(
    {*_NAMING, "FunctionNode", "JsonNode", "ListNode", "SetNode", "DefaultDictNode", "BytesNode", "BytearrayNode"}
    | {"NdArrayNode", "MaskedArrayNode", "DTypeNode", "SparseMatrixNode", "LossNode", "RandomStateNode"}
    | {"RandomGeneratorNode", "SliceNode"}
)
_CONSTANT = ("JsonNode", "TypeNode", "FunctionNode", "TupleNode")  # Python makes one object of some that are equal
_STATE_WORDS = 624  # of the Mersenne Twister
_POOL = 4  # words, as NumPy has them
_REMEDY = "save it with its own library, and return where it is"
_MODULE = "define what a model needs at the top of a module of your own, not in a script"


# -- from a model --------------------------------------------------------------------------------------------


def _take(value: Any) -> list[Any]:
    try:
        data = skops.io.dumps(value)
    except Exception as error:
        raise UnsupportedValueError(f"skops cannot take the model apart ({described(error)}); {_REMEDY}") from error
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
        protocol = schema.pop("protocol")
        del schema["_skops_version"]
        files: dict[str, str] = {}
        seen = Counter(node["__id__"] for node in _nodes(schema) if node["__loader__"] not in _CONSTANT)
        _rename(schema, {name for name, count in seen.items() if count > 1}, files)
        parts = [_part(name, archive.read(name)) for name in files]
    return [sklearn.__version__, protocol, json.dumps(schema, separators=(",", ":")), parts]


def _nodes(part: Any) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a schema, each before those within it."""
    waiting = [part]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "__loader__" in part or "__id__" in part:
                yield part
            part = list(part.values())
        if isinstance(part, list):
            waiting += reversed(part)


def _rename(schema: Any, repeated: set[int], files: dict[str, str]) -> None:
    """Number the objects that repeat and the files, which skops calls by their addresses, in the schema's order."""
    first: dict[int, dict[str, Any]] = {}
    done: set[int] = set()
    for node in _nodes(schema):
        if id(node) in done:  # it is a part of what is there a second time
            continue
        address = node.pop("__id__", None)
        if address in first:  # again; what skops makes for a moment has other addresses here
            node.update(first[address])
        elif "file" in node:
            suffix = node["file"].rpartition(".")[2]
            node["file"] = files.setdefault(node["file"], f"{len(files)}.{suffix}")
        if address in repeated:
            node["__id__"] = first.setdefault(address, node).get("__id__", len(first))
        done.add(id(node))
    for node in _nodes(schema):
        if node["__loader__"] == "SetNode":
            node["content"].sort(key=json.dumps)


def _part(name: str, data: bytes) -> Any:
    if name.endswith(".npy"):
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return scipy.sparse.load_npz(io.BytesIO(data)) if name.endswith(".npz") else data


# -- back to a model -----------------------------------------------------------------------------------------


def _make(node: Any, check_class: Callable[[str], None]) -> Any:
    version, protocol, text, parts = as_list(node)
    if as_text(version) != sklearn.__version__:
        raise LibraryVersionError("a trained model", "scikit-learn", sklearn.__version__, cut(version))
    if type(protocol) is not int or protocol < _FIRST_PROTOCOL:
        raise CorruptPayloadError(f"skops has no protocol {quoted(protocol)}")
    if protocol > PROTOCOL:
        raise LibraryVersionError("a trained model", "skops", skops.__version__, f"with protocol {protocol}")
    schema = json.loads(as_text(text))
    _check_nodes(schema)
    data = _archive({**schema, "protocol": protocol}, as_list(parts))
    names = [name for name in skops.io.get_untrusted_types(data=data) if name not in _CHECKED]
    for name in names:
        check_class(name)
    _check_names(schema, names)
    return skops.io.loads(data, trusted=[*names, *_CHECKED])


def _check_nodes(schema: Any) -> None:
    """Check that a schema has the kinds of nodes that are read here, and that what repeats is the same each time."""
    known: dict[Any, Any] = {}
    for node in _nodes(schema):
        loader, name = node.get("__loader__"), _name(node)
        if loader not in _LOADERS or loader not in _CHECKED.get(name, (loader,)):
            raise CorruptPayloadError(f"a model with a node of the kind {quoted(loader)} for {cut(name)}")
        if "__id__" in node and known.setdefault(node["__id__"], node) != node:
            raise CorruptPayloadError("a model with two objects of one number")
        if loader == "RandomStateNode":
            _check_random_state(node)
        if loader == "RandomGeneratorNode":
            _check_generator(node)


def _name(node: dict[str, Any]) -> str:
    return f"{node.get('__module__')}.{node.get('__class__')}"


def _check_random_state(node: dict[str, Any]) -> None:
    """Check where a generator goes on in its words, which NumPy does not check."""
    place = json.loads(node["content"]["content"]["state"]["content"]["pos"]["content"])
    if type(place) is not int or not 0 <= place <= _STATE_WORDS:
        raise CorruptPayloadError(f"a random state at the place {quoted(place)}")


def _check_generator(node: dict[str, Any]) -> None:
    """Check the kind of a generator, and the size of what its seed is mixed in."""
    kind = json.loads(node["content"]["bit_generator"]["content"]["bit_generator"]["content"])
    size = json.loads(node["content"]["seed_seq"]["content"]["pool_size"]["content"])
    if kind != "PCG64" or size != _POOL:
        raise CorruptPayloadError(f"a random generator of the kind {quoted(kind)} with a pool of {quoted(size)}")


def _archive(schema: dict[str, Any], parts: list[Any]) -> bytes:
    """Return the archive that skops reads."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, part in enumerate(parts):
            written = io.BytesIO()
            if isinstance(part, np.ndarray):
                suffix = "npy"
                np.save(written, part, allow_pickle=False)
            elif scipy.sparse.issparse(part):
                suffix = "npz"
                scipy.sparse.save_npz(written, part, compressed=False)
            else:
                suffix = "bin"
                written.write(part)
            archive.writestr(f"{number}.{suffix}", written.getbuffer())
        archive.writestr("schema.json", json.dumps(schema))
    return buffer.getvalue()


def _check_names(schema: Any, names: list[str]) -> None:
    """Check that each name that was allowed is a class's own, or a function's where the schema has a function.

    Names of other things than classes and functions, and those that a module merely imports, are not what people
    allowed. Airflow's own classes are allowed by default, for other purposes.
    """
    for node in _nodes(schema):
        name, loader = _name(node), node["__loader__"]
        if name in names and not _is_named(node, loader):
            raise ClassNotAllowedError(name, f"it is not found as a {cut(str(loader)[:-4])}; {_MODULE}")


def _is_named(node: dict[str, Any], loader: str) -> bool:
    module, name = as_text(node["__module__"]), as_text(node["__class__"])
    if module.partition(".")[0] in ("airflow", "__main__"):
        return False
    held = vars(import_module(module)).get(name)
    if (getattr(held, "__module__", None), getattr(held, "__qualname__", None)) != (module, name):
        return False
    if loader == "FunctionNode":
        return not isinstance(held, type)
    return isinstance(held, type) and loader in _NAMING and (loader != "DictNode" or issubclass(held, dict))


# -- the codec -----------------------------------------------------------------------------------------------


def _summarize(value: Any) -> dict[str, Any]:
    steps = getattr(value, "steps", None)
    shown = {"steps": [type(step).__name__ for _, step in steps[:20]]} if isinstance(steps, list) else {}
    return {"model": type(value).__name__, **shown}


def codecs(check_class: Callable[[str], None]) -> tuple[Codec[Any], ...]:
    """Return the codecs of a registry that allows the names which `check_class` lets pass."""

    def decode(node: Any, _version: int = 1) -> Any:
        return _make(node, check_class)

    encode = checked_encode(_take, decode, remedy=_REMEDY)
    return (Codec("sklearn.estimator", (BaseEstimator,), encode, decode, subclasses=True, summarize=_summarize),)
