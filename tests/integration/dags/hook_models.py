"""A model of a module, as users have them: by name, where Airflow's configuration allows it."""

from __future__ import annotations

from datetime import datetime, time

from pydantic import AnyUrl, BaseModel


class Order(BaseModel):
    """An order, whose times pydantic reads from text."""

    at: datetime
    until: time
    page: AnyUrl
    lines: list[tuple[str, int]]
