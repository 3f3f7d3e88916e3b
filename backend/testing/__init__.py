"""What authors of stores test theirs with; it needs pytest."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.store_suite")

from airflow_xcom.backend.testing.store_suite import StoreSuite  # noqa: E402 - after pytest knows of it

__all__ = ["StoreSuite"]
