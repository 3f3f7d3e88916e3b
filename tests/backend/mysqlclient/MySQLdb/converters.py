"""What Airflow registers a converter in, and which (airflow/settings.py, configure_adapters)."""

from __future__ import annotations

from typing import Any

conversions: dict[type, Any] = {}
DateTime2literal = str
