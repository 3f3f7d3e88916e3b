"""What tests of codecs need: a strict comparison, checks of a codec, and a Hypothesis strategy of any value.

``assert_identical`` and ``check_codec`` need no other distribution; ``any_value`` needs Hypothesis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_xcom.codecs.testing.checks import check_codec, through_jsonb
from airflow_xcom.codecs.testing.identical import assert_identical, describe, difference, register_parts

if TYPE_CHECKING:
    from airflow_xcom.codecs.testing.strategies import any_value

__all__ = ["any_value", "assert_identical", "check_codec", "describe", "difference", "register_parts", "through_jsonb"]


def __getattr__(name: str) -> Any:
    """Import Hypothesis when the strategy is first asked for (PEP 562)."""
    if name != "any_value":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_xcom.codecs.testing.strategies import any_value

    return any_value
