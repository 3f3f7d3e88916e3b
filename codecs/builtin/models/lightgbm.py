"""Boosters of LightGBM: ``[version, text of the model, {attribute: value}]``.

The version is LightGBM's, which reads what older releases wrote. It reads the text unchecked, in native code, so the
class needs to be allowed, as the trees of scikit-learn do.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import lightgbm

from airflow_xcom.codecs.builtin.models.checks import check_not_older, checked_encode
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import as_dict, as_list, as_text

_CLASS = "lightgbm.basic.Booster"
_REMEDY = "return lightgbm.Booster(model_str=value.model_to_string())"


def _take(booster: Any) -> list[Any]:
    if getattr(booster, "train_set", None) is not None:
        raise UnsupportedValueError(f"the booster holds its training data, which would be lost; {_REMEDY}")
    attributes = {name: item for name, item in vars(booster).items() if name != "_handle"}
    if type(booster.best_score) is defaultdict:
        attributes["best_score"] = [[name, list(scores.items())] for name, scores in booster.best_score.items()]
    text = booster.model_to_string(num_iteration=-1)  # without it, up to the best iteration
    return [lightgbm.__version__, text, attributes]


def _make(node: Any) -> Any:
    version, text, attributes = as_list(node)
    check_not_older("lightgbm", lightgbm.__version__, version)
    made = lightgbm.Booster(model_str=as_text(text))
    handle = made._handle  # noqa: SLF001
    vars(made).clear()
    vars(made).update({**as_dict(attributes), "_handle": handle})
    if type(scores := attributes["best_score"]) is list:  # as training makes it
        made.best_score = defaultdict(OrderedDict, {name: OrderedDict(held) for name, held in scores})
    return made


def _summarize(booster: Any) -> dict[str, Any]:
    return {"trees": booster.num_trees(), "features": booster.num_feature()}


def codecs(check_class: Callable[[str], None]) -> tuple[Codec[Any], ...]:
    """Return the codec of a registry that allows the class if `check_class` lets its name pass."""

    def decode(node: Any, _version: int = 1) -> Any:
        check_class(_CLASS)
        return _make(node)

    encode = checked_encode(_take, decode, remedy=_REMEDY, by_node=True)
    return (Codec("lightgbm.Booster", (lightgbm.Booster,), encode, decode, summarize=_summarize),)
