"""Imports of ``airflow_xcom.backend`` run one way: down the layers, and never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import airflow_xcom.backend

ROOT = Path(airflow_xcom.backend.__file__).parent
PACKAGE = "airflow_xcom.backend"

# From the ground up.  A folder stands for all of its files.
LAYERS = (
    ("compat", "compat_assets", "errors", "provider_info", "path_segments"),
    ("settings", "retention_policy", "envelope", "blob_paths", "asset_version", "state_coordinate"),
    ("stores",),
    ("blobs", "blob_urls", "hints", "serde", "advice"),
    ("placement", "pull"),
    ("inexact", "multiple_outputs"),
    ("push", "table_selection", "lazy_arguments", "lazy_sequences", "state_values", "database"),
    ("maintenance",),
    ("xcom", "ui", "commands", "assets", "testing"),
    ("cli", "__init__"),
)


def modules() -> dict[str, Path]:
    return {_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(path: Path) -> set[str]:
    """The modules of the backend that a file imports or names in a text, at its top or within a function.

    Those for types alone are left out.
    """
    return {found for node in _executed(ast.parse(path.read_text())) for found in _imported(node)}


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _executed(child)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert not node.level, "imports are absolute"
        below = [f"{node.module}.{alias.name}" for alias in node.names]
        known = [name for name in below if name.removeprefix(f"{PACKAGE}.") in MODULES]
        names = known if len(known) == len(below) else [*known, str(node.module)]
    elif isinstance(node, ast.Constant) and str(node.value) in {f"{PACKAGE}.{name}" for name in MODULES}:
        names = [str(node.value)]  # of a module that is imported when it is first needed
    else:
        return
    for name in names:
        if name == PACKAGE or name.startswith(f"{PACKAGE}."):
            yield name.removeprefix(PACKAGE).removeprefix(".") or "__init__"


MODULES = modules()
IMPORTS = {name: imports(path) for name, path in MODULES.items()}


def layer(name: str) -> int:
    room = name.partition(".")[0]
    found = [number for number, rooms in enumerate(LAYERS) if room in rooms]
    assert found, f"{name} is on no layer; say in LAYERS where it belongs"
    return found[0]


def test_modules_named_in_texts_are_found() -> None:
    assert {"push", "multiple_outputs"} <= IMPORTS["xcom"]
    assert "blobs" in IMPORTS["pull"]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_its_own_layer_or_lower_ones(name: str) -> None:
    assert not {other for other in IMPORTS[name] if layer(other) > layer(name)}


def test_no_imports_go_in_a_circle() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_the_class_as_it_is_imported(name: str) -> None:
    """Airflow imports the class in the midst of its own modules, which the class imports: it has to come first."""
    at_its_top = [node for node in ast.parse(MODULES[name].read_text()).body if not isinstance(node, ast.If)]
    assert "xcom" not in {found for node in at_its_top for found in _imported(node)}


def test_no_module_has_the_name_of_what_the_package_offers() -> None:
    """Or the module, once something else in it was asked for, would stand in the place of what has its name."""
    assert not {
        name for name in airflow_xcom.backend.__all__ if (ROOT / name).is_dir() or (ROOT / f"{name}.py").exists()
    }


def test_imports_are_seen_wherever_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "seen.py"
    file.write_text(
        "if TYPE_CHECKING:\n    from airflow_xcom.backend.cli import main\n"
        "from airflow_xcom.backend.stores import open_store\n"
        "def late():\n    from airflow_xcom.backend.database import dag_runs\n    import airflow_xcom.backend.ui\n"
    )
    assert imports(file) == {"stores", "database.dag_runs", "ui"}
