"""docs/FIDELITY.md says what is so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import fidelity
import pytest
from catalogue import CATALOGUE
from conftest import Backend

from airflow_xcom.backend.pull import prepare
from airflow_xcom.codecs import registry

PARTS = [part.splitlines() for part in fidelity.DOCUMENT.read_text().split("\n## ")]
ROWS = {
    (lines[0], name): row
    for lines in PARTS
    for name, *row in (
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")
    )
}


@pytest.fixture(autouse=True)
def _allowed() -> Iterator[None]:
    """The classes of the catalogue may be restored, as [core] allowed_deserialization_classes would say."""
    prepare()
    before = registry._allows
    registry.allow_classes(lambda name: name.startswith("test_classes."))
    yield
    registry.allow_classes(before)


def test_every_value_of_the_catalogue_is_listed() -> None:
    for family, values in CATALOGUE.items():
        for name in values:
            assert (family, name.replace("|", "&#124;")) in ROWS
    assert sum(map(len, CATALOGUE.values())) >= 250


@pytest.mark.parametrize("threshold", [-1, 0], ids=["in the row", "offloaded"])
@pytest.mark.parametrize("family", CATALOGUE)
def test_ours_is_never_changed(backend: Backend, family: str, threshold: int) -> None:
    backend.options(threshold=threshold, preserve_key_order=False)  # and takes back what follows
    way = fidelity.ours(threshold, fidelity.as_json)
    found = {name: fidelity.outcome(make, way) for name, make in CATALOGUE[family].items()}
    assert "changed" not in found.values()
    place = fidelity.WAYS.index("ours, offloaded" if threshold == 0 else "ours, in the row")
    assert found == {name: ROWS[family, name.replace("|", "&#124;")][place] for name in found}


def test_the_outcome_tells_apart() -> None:
    def keep(value: Any) -> Callable[[], Any]:
        return lambda: value

    def refuse(_value: Any) -> Callable[[], Any]:
        raise TypeError

    assert fidelity.outcome(lambda: (1, 2.0), keep) == "exact"
    assert fidelity.outcome(lambda: (1, 2.0), lambda value: lambda: list(value)) == "changed"
    assert fidelity.outcome(lambda: (1, 2.0), lambda value: lambda: (1, 2)) == "changed"
    assert fidelity.outcome(lambda: (1, 2.0), lambda value: lambda: 1 / 0) == "changed"
    assert fidelity.outcome(lambda: (1, 2.0), refuse) == "refused"
