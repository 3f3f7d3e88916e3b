"""Trained models come back as they were, and predict the same bit for bit; what they name needs to be allowed.

The libraries are imported where a model is made: each of them may be missing where payloads of old releases are read.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from airflow_xcom.codecs import CodecError, EncodeError, LibraryVersionError, UnsupportedTypeError, decode, encode
from airflow_xcom.codecs.errors import ClassNotAllowedError
from airflow_xcom.codecs.payload import decode_json
from airflow_xcom.codecs.registry import registry
from airflow_xcom.codecs.testing import check_codec, difference

X = np.arange(48.0).reshape(12, 4) % 7
Y = np.arange(12) % 3 % 2
WORDS = ["a cat", "the dog", "a dog and a cat"] * 4
FRAME = pd.DataFrame({"n": X[:, 0], "c": list("xyz") * 4})


def _sk(module: str, name: str, *args: Any, **options: Any) -> Any:
    import importlib

    return getattr(importlib.import_module(f"sklearn.{module}"), name)(*args, **options)


def _pipeline(*steps: Any) -> Any:
    return _sk("pipeline", "make_pipeline", *steps)


def _columns() -> Any:
    parts = [("n", _sk("preprocessing", "StandardScaler"), ["n"]), ("c", _sk("preprocessing", "OneHotEncoder"), ["c"])]
    return _sk("compose", "ColumnTransformer", parts)


def _neighbors() -> Any:
    return _sk("neighbors", "KNeighborsClassifier", 3, algorithm="brute")


def _of_text() -> Any:
    return _pipeline(_sk("feature_extraction.text", "TfidfVectorizer"), _sk("naive_bayes", "MultinomialNB"))


def lightgbm_booster() -> Any:
    import lightgbm

    options = {"verbosity": -1, "num_leaves": 3, "min_data_in_leaf": 1, "num_threads": 1, "objective": "regression"}
    return lightgbm.train(options, lightgbm.Dataset(X, Y), 2)


def xgboost_booster() -> Any:
    import xgboost

    options = {"max_depth": 2, "nthread": 1, "base_score": 0.5}
    return xgboost.train(options, xgboost.DMatrix(X, Y, feature_names=list("abcd")), 2)


@lru_cache
def onnx_model() -> Any:
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy"]
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.5, float("nan")])
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [weights])
    return helper.make_model(graph, producer_name="tests", opset_imports=[helper.make_opsetid("", 17)])


BOOSTERS = ("lightgbm.basic.Booster", "xgboost.core.Booster")  # their classes

# What needs nobody's leave.
MADE: dict[str, Callable[[], Any]] = {
    "an estimator that was not fitted": lambda: _sk("linear_model", "Ridge", alpha=1e-3, random_state=5),
    "a scaler": lambda: _sk("preprocessing", "StandardScaler").fit(X),
    "a pipeline": lambda: _pipeline(_sk("preprocessing", "MinMaxScaler"), _neighbors()).fit(X, Y),
    "a pipeline of columns": lambda: _pipeline(_columns(), _neighbors()).fit(FRAME, Y),
    "a pipeline of text": lambda: _of_text().fit(WORDS, Y),
    "a model in a dict": lambda: {"model": _sk("dummy", "DummyClassifier").fit(X, Y), "score": np.float64(0.5)},
    "estimators twice": lambda: _sk(
        "ensemble", "VotingClassifier", [("a", _neighbors()), ("b", _sk("dummy", "DummyClassifier"))]
    ).fit(X, Y),
    "a model that keeps sparse data": lambda: _sk("neighbors", "KNeighborsClassifier", 3, algorithm="brute").fit(
        scipy.sparse.csr_matrix(X), Y
    ),
    "a random state": lambda: _sk("dummy", "DummyClassifier", random_state=np.random.RandomState(3)),
    "classes of text": lambda: _sk("dummy", "DummyClassifier").fit(X, np.array(list("ab") * 6, dtype=object)),
    "an ONNX model": onnx_model,
}


def _search() -> Any:
    return _sk("model_selection", "GridSearchCV", _neighbors(), {"n_neighbors": [1, 3]}, cv=2, scoring="accuracy")


def _wrapper(library: str, name: str, **options: Any) -> Any:
    import importlib

    return getattr(importlib.import_module(library), name)(n_estimators=2, n_jobs=1, **options).fit(X, Y)


# What needs to be allowed, and the names.
NAMING: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "a forest": (
        lambda: _sk("ensemble", "RandomForestClassifier", 3, random_state=0).fit(X, Y),
        ["sklearn.tree._tree.Tree"],
    ),
    "gradient boosting": (
        lambda: _sk("ensemble", "GradientBoostingClassifier", n_estimators=2, random_state=0).fit(X, Y),
        ["sklearn.tree._tree.Tree"],
    ),
    "boosting of histograms": (
        lambda: _sk("ensemble", "HistGradientBoostingClassifier", max_iter=2, random_state=0).fit(X, Y),
        ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"],
    ),
    "a search": (
        lambda: _search().fit(X, Y),
        [
            "sklearn.metrics._classification.accuracy_score",
            "sklearn.metrics._scorer._Scorer",
            "sklearn.model_selection._split.StratifiedKFold",
        ],
    ),
    "a function": (
        lambda: _sk("preprocessing", "FunctionTransformer", function_of_a_task),
        [f"{__name__}.function_of_a_task"],
    ),
    "a booster of LightGBM": (lightgbm_booster, ["lightgbm.basic.Booster"]),
    "a booster of XGBoost": (xgboost_booster, ["xgboost.core.Booster"]),
    "an estimator of LightGBM": (
        lambda: _wrapper("lightgbm", "LGBMClassifier", verbosity=-1, min_child_samples=1),
        ["lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier"],
    ),
    "an estimator of XGBoost": (
        lambda: _wrapper("xgboost", "XGBClassifier"),
        ["xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"],
    ),
}
EVERY = MADE | {name: make for name, (make, _) in NAMING.items()}


def function_of_a_task(values: Any) -> Any:
    return values + 1


@pytest.fixture(autouse=True)
def allow() -> Iterator[Callable[[list[str]], None]]:
    """Allow exactly these names."""
    before, remedy = registry._allows, registry._remedy
    from airflow_xcom.backend.compat import CLASS_REMEDY

    registry.allow_classes(lambda _name: False, remedy=CLASS_REMEDY)
    yield lambda names: registry.allow_classes(names.__contains__)
    registry.allow_classes(before, remedy=remedy)


def _tag(name: str) -> str:
    return {"a booster of LightGBM": "lightgbm.Booster", "a booster of XGBoost": "xgboost.Booster"}.get(
        name, "onnx.ModelProto" if "ONNX" in name else "sklearn.estimator"
    )


@pytest.mark.parametrize("name", [name for name in EVERY if name != "a model in a dict"])
def test_the_codec_keeps_its_promises(name: str, allow: Any) -> None:
    allow([name for _, names in NAMING.values() for name in names])
    check_codec(_tag(name), [EVERY[name]()])


def _predictions(name: str, model: Any) -> Any:
    if name == "a booster of XGBoost":
        import xgboost

        return model.predict(xgboost.DMatrix(X, feature_names=list("abcd")))
    data = {"a pipeline of columns": FRAME, "a pipeline of text": WORDS}.get(name, X)
    predict = getattr(model, "predict_proba", None) or getattr(model, "predict", None) or model.transform
    return predict(data)


@pytest.mark.parametrize("name", ["a scaler", "a pipeline", "a pipeline of columns", "a pipeline of text", *NAMING])
def test_it_predicts_the_same(name: str, allow: Any) -> None:
    allow([name for _, names in NAMING.values() for name in names])
    model = EVERY[name]()
    payload = encode(model)
    for back in (decode(payload.to_bytes(), payload.format), decode_json(json.loads(json.dumps(payload.to_json())))):
        expected, found = _predictions(name, model), _predictions(name, back)
        assert (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())


# -- what is allowed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMING)
def test_what_a_model_names_is_refused_with_the_line_that_allows_it(name: str, allow: Any) -> None:
    make, names = NAMING[name]
    model = make()
    with pytest.raises(UnsupportedTypeError) as caught:
        encode({"a": [model]})
    assert caught.value.path == 'value["a"][0]'
    line = re.search(r"\[core\] allowed_deserialization_classes = (.*) \(after", caught.value.reason)
    assert line is not None
    assert line[1].split(" ") == names
    allow(line[1].split(" "))
    payload = encode(model)
    assert difference(model, decode(payload.to_bytes(), payload.format)) is None
    for missing in names:
        allow([other for other in names if other != missing])
        with pytest.raises(ClassNotAllowedError, match=re.escape(f"allowed_deserialization_classes = {missing} ")):
            decode(payload.to_bytes(), payload.format)


class _Defined:
    """A place for a class that is found by no name of a module."""


def _of_a_lambda() -> Any:
    return _sk("preprocessing", "FunctionTransformer", lambda values: values)


def _of_a_method() -> Any:
    return _sk("preprocessing", "FunctionTransformer", _Defined().__repr__)


def _with(**attributes: Any) -> Any:
    model = _sk("dummy", "DummyClassifier")
    vars(model).update(attributes)
    return model


def _in_itself() -> Any:
    model = _sk("dummy", "DummyClassifier")
    model.constant = [model]
    return model


def _with_data() -> Any:
    import lightgbm

    return lightgbm.Booster({"verbosity": -1, "min_data_in_leaf": 1, "num_threads": 1}, lightgbm.Dataset(X, Y))


def _freed() -> Any:
    booster = _with_data()
    booster.update()
    return booster.free_dataset()


REFUSED = {
    "what skops does not know": (lambda: _sk("cluster", "Birch").fit(X), "return where it is"),
    "a lambda": (_of_a_lambda, "return where it is|at the top of a module"),
    "a method": (_of_a_method, "return where it is|at the top of a module"),
    "a partial": (
        lambda: _sk("preprocessing", "FunctionTransformer", partial(np.add, 1)),
        "return where it is",
    ),
    "surrogates that would be joined": (lambda: _with(constant="\ud83d\ude00"), r"DummyClassifier\b.*\bconstant\b"),
    "a subclass of int": (lambda: _with(constant=re.IGNORECASE), r"DummyClassifier\b.*\bconstant\b"),
    "an array of another layout": (
        lambda: _with(constant=np.asfortranarray(np.array([[1, [2]], [3, 4]], object))),
        r"DummyClassifier\b.*\bconstant\b",
    ),
    "sparse indices of another dtype": (
        lambda: _sk("svm", "SVC").fit(scipy.sparse.csr_matrix(X), Y),
        r"SVC\b.*\b_dual_coef_\b.*\bind",
    ),
    "a key of another type": (lambda: _with(constant={(1,): 2}), "return where it is"),
    "a model that holds itself": (_in_itself, "return where it is"),
    "a booster with its data": (_with_data, r"return lightgbm\.Booster\(model_str=value\.model_to_string\(\)\)"),
    "a booster of another text": (_freed, r"return lightgbm\.Booster\(model_str=value\.model_to_string\(\)\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_come_back_otherwise_is_refused(name: str) -> None:
    make, remedy = REFUSED[name]
    registry.allow_classes(lambda _name: True)
    with pytest.raises(EncodeError, match=remedy):
        encode([make()])


def test_a_booster_made_of_its_text_is_stored(allow: Any) -> None:
    import lightgbm

    allow(["lightgbm.basic.Booster"])
    for value in (_with_data(), _freed()):
        check_codec("lightgbm.Booster", [lightgbm.Booster(model_str=value.model_to_string())])


def test_nothing_is_imported_for_other_values() -> None:
    code = """
import sys
import numpy as np, pandas as pd
from airflow_xcom.codecs import encode
encode({"a": [np.arange(3), pd.DataFrame({"a": [1]}), (1,), 1j]})
print({"sklearn", "skops", "lightgbm", "xgboost", "onnx"} & {name.partition(".")[0] for name in sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_equal_models_have_equal_bytes_in_every_process() -> None:
    code = """
import hashlib, test_models
from airflow_xcom.codecs import encode, registry
registry.allow_classes(lambda name: True)
left_out = ("a pipeline of text", "a search")  # scikit-learn keeps the address of a list in it, and times
values = [make() for name, make in test_models.EVERY.items() if name not in left_out]
print([hashlib.sha256(encode(value).to_bytes()).hexdigest()[:16] for value in values])
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONHASHSEED": seed})
        for seed in "01"
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(json.loads(runs[0].stdout.replace("'", '"'))) == len(EVERY) - 2


# -- forged payloads -----------------------------------------------------------------------------------------


def _schema(make: Callable[[], Any], change: Callable[[Any], Any]) -> Any:
    """A payload of a model, of which the schema was changed."""
    registry.allow_classes(lambda _name: True)
    value = make()
    codec = registry.for_type(type(value))
    assert codec is not None
    version, protocol, text, parts = codec.encode(value)
    registry.allow_classes(lambda _name: False)
    schema = json.loads(text)
    changed = change(schema) or schema
    return encode([version, protocol, json.dumps(changed), parts])


def _read(payload: Any, tag: str = "sklearn.estimator") -> Any:
    return decode_json({"$": [tag, 1, payload.to_json()]})


def _attribute(node: Any) -> Callable[[Any], None]:
    def change(schema: Any) -> None:
        schema["content"]["content"]["strategy"] = node

    return change


def _node(module: str, name: str, loader: str, **more: Any) -> dict[str, Any]:
    return {"__module__": module, "__class__": name, "__loader__": loader, **more}


_TEXT = _node("builtins", "str", "JsonNode", content='"echo"')
_ARGS = _node("builtins", "tuple", "TupleNode", content=[_TEXT])
_NOTHING = _node(
    "builtins", "dict", "DictNode", content={}, key_types=_node("builtins", "list", "ListNode", content=[])
)
FORGED = {
    "a function": _node("os", "system", "FunctionNode"),
    "a function as a class": _node("os", "system", "TypeNode"),
    "a call": _node("os", "system", "ConstructorFromReduceNode", content=_ARGS),
    "a call of the loss": _node("os", "system", "LossNode", __reduce__={"args": _ARGS}, content=_NOTHING),
    "an object": _node("subprocess", "Popen", "ObjectNode", content=_NOTHING),
    "a partial": _node(
        "functools", "partial", "PartialNode", content=dict.fromkeys(("func", "args", "kwds", "namespace"), _ARGS)
    ),
    "a method": _node("builtins", "str", "MethodNode", content={"func": "format", "obj": _TEXT}),
    "an operator": _node("operator", "methodcaller", "OperatorFuncNode", attrs=_ARGS),
    "a class of Airflow": _node("airflow.models.dag", "DagModel", "ObjectNode", content=_NOTHING),
    "a node that refers": {"__id__": 1},
    "a node of no kind": _node("builtins", "str", "NothingNode"),
    "no node": 5,
    "a file that is not there": _node("numpy", "ndarray", "NdArrayNode", type="numpy", file="../../etc/hostname"),
    "an object of NumPy's dtype": _node("numpy", "dtype", "ObjectNode", content=_NOTHING),
    "a sparse object": _node("scipy.sparse._csr", "csr_matrix", "ObjectNode", content=_NOTHING),
    "a dict of another class": _node("os", "_Environ", "DictNode", content={}, key_types=_ARGS),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_model_is_refused(name: str) -> None:
    payload = _schema(lambda: _sk("dummy", "DummyClassifier"), _attribute(FORGED[name]))
    with pytest.raises(CodecError) as caught:
        _read(payload)
    if name in ("a function", "an object"):
        assert isinstance(caught.value, ClassNotAllowedError)
        assert caught.value.name in ("os.system", "subprocess.Popen")


# What a pattern may allow, and still is none of its classes or functions.
MEANT = {
    "a function that a module imports": ("importlib", "import_module", "LossNode"),
    "a function as an object": ("os", "getcwd", "ObjectNode"),
    "a module": ("os", "path", "TypeNode"),
    "a class that a module imports": ("json", "JSONDecoder", "ObjectNode"),
    "a class as a function": ("subprocess", "Popen", "FunctionNode"),
    "a class of Airflow": ("airflow.models.dag", "DagModel", "ObjectNode"),
    "a class that is no dict": ("subprocess", "Popen", "DictNode"),
}


@pytest.mark.parametrize("name", MEANT)
def test_what_is_allowed_is_a_class_or_a_function_itself(name: str) -> None:
    module, attribute, loader = MEANT[name]
    more = {"content": _NOTHING, "key_types": _NOTHING["key_types"], "__reduce__": {"args": _ARGS}}
    more |= {"content": {}} if loader == "DictNode" else {}
    payload = _schema(lambda: _sk("dummy", "DummyClassifier"), _attribute(_node(module, attribute, loader, **more)))
    registry.allow_classes(lambda _name: True)
    with pytest.raises(ClassNotAllowedError):
        _read(payload)


def _two_of_one_number(schema: Any) -> None:
    names = schema["content"]["content"]
    names["strategy"], names["constant"] = ({**_TEXT, "__id__": 9}, {**_TEXT, "content": "5", "__id__": 9})


def _far_position(schema: Any) -> None:
    state = schema["content"]["content"]["random_state"]["content"]["content"]["state"]
    state["content"]["pos"]["content"] = "100000"


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (MADE["a random state"], _two_of_one_number, "two objects of one number"),
        (MADE["a random state"], _far_position, "at the place 100000"),
        (MADE["a random state"], lambda _schema: [[]], "damaged|list"),
    ],
)
def test_a_forged_schema_is_refused(make: Any, change: Any, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        _read(_schema(make, change))


@pytest.mark.parametrize(
    ("place", "other", "error", "message"),
    [
        (0, "0.1", LibraryVersionError, "scikit-learn 0.1"),
        (0, 5, CodecError, "text"),
        (1, 0, CodecError, "protocol 0"),
        (1, True, CodecError, "protocol True"),
        (1, 99, LibraryVersionError, "protocol 99"),
        (2, "[" * 100_000, CodecError, "damaged|recursion"),
        (2, "{}", CodecError, "loader"),
        (3, {}, CodecError, "list"),
        (3, [5], CodecError, "int"),
    ],
)
def test_another_version_or_damage_is_told(place: int, other: Any, error: Any, message: str) -> None:
    codec = registry.for_type(type(MADE["a scaler"]()))
    assert codec is not None
    node = codec.encode(MADE["a scaler"]())
    node[place] = other
    with pytest.raises(error, match=message):
        _read(encode(node))


@pytest.mark.parametrize(("tag", "library"), [("lightgbm.Booster", "lightgbm"), ("xgboost.Booster", "xgboost")])
def test_a_newer_booster_names_the_library(tag: str, library: str) -> None:
    registry.allow_classes(lambda _name: True)
    with pytest.raises(LibraryVersionError, match=f"needs {library} 1000.0.1 or newer"):
        _read(encode(["1000.0.1", "", ""]), tag)
    with pytest.raises(CodecError, match="no version"):
        _read(encode(["x", "", ""]), tag)
