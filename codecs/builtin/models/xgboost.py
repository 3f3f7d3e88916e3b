"""Boosters of XGBoost: ``[version, model as UBJSON, configuration as JSON]``.

The version is XGBoost's, which reads what older releases wrote. It reads the bytes unchecked, in native code, so the
class needs to be allowed, as the trees of scikit-learn do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xgboost

from airflow_xcom.codecs.builtin.models.checks import check_not_older, checked_encode
from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.nodes import Buffer, as_list, as_text

_CLASS = "xgboost.core.Booster"


def _take(booster: Any) -> list[Any]:
    return [xgboost.__version__, Buffer(booster.save_raw("ubj")), booster.save_config()]


def _make(node: Any) -> Any:
    version, model, configuration = as_list(node)
    check_not_older("xgboost", xgboost.__version__, version)
    made = xgboost.Booster()
    made.load_model(bytearray(memoryview(model.data if isinstance(model, Buffer) else model)))
    made.load_config(as_text(configuration))
    return made


def _summarize(booster: Any) -> dict[str, Any]:
    return {"rounds": booster.num_boosted_rounds(), "features": booster.num_features()}


def codecs(check_class: Callable[[str], None]) -> tuple[Codec[Any], ...]:
    """Return the codec of a registry that allows the class if `check_class` lets its name pass."""

    def decode(node: Any, _version: int = 1) -> Any:
        check_class(_CLASS)
        return _make(node)

    encode = checked_encode(_take, decode, remedy="return value.save_raw('ubj')", by_node=True)
    return (Codec("xgboost.Booster", (xgboost.Booster,), encode, decode, summarize=_summarize, attributes=("handle",)),)
