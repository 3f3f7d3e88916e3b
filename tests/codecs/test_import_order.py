"""Which module of the codecs may import which: one way, and no circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import airflow_xcom.codecs

ROOT = Path(airflow_xcom.codecs.__file__).parent
PACKAGE = "airflow_xcom.codecs"
LAYERS = [["errors"], ["nodes", "codec"], ["registry"], ["formats"], ["payload"]]


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): path for path in ROOT.rglob("*.py")}


class _Imports(ast.NodeVisitor):
    """Collects the modules of the package that a module imports, in functions too, but not for type checkers alone."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = str(node.module)
        if module == PACKAGE or module.startswith(f"{PACKAGE}."):
            below = module.removeprefix(PACKAGE).removeprefix(".")
            for alias in node.names:
                submodule = f"{below}.{alias.name}".removeprefix(".")
                self.names.add(submodule if submodule in MODULES else below)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "imported":
            (name,) = node.args
            assert isinstance(name, ast.Constant), "imported() takes the name itself, so that it is seen here"
            self.names.add(str(name.value).removeprefix(f"{PACKAGE}."))
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name.removeprefix(f"{PACKAGE}.") for alias in node.names if alias.name.startswith(PACKAGE)}


def _imports(path: Path) -> set[str]:
    visitor = _Imports()
    visitor.visit(ast.parse(path.read_text()))
    return visitor.names


IMPORTS = {name: _imports(path) for name, path in MODULES.items()}


def _is_in(module: str, layer: str) -> bool:
    return module == layer or module.startswith(f"{layer}.")


def test_the_modules_are_found() -> None:
    assert {"errors", "registry", "formats.json", "payload", "builtin.pandas.frame"} <= MODULES.keys()
    assert "errors" in IMPORTS["registry"]
    assert "builtin.pandas.index" in IMPORTS["tables.select"]  # within a function
    assert "formats.msgpack.reader" in IMPORTS["payload"]  # by a text


def test_no_module_imports_itself_through_others() -> None:
    order = list(TopologicalSorter(IMPORTS).static_order())  # raises CycleError
    assert set(order) >= MODULES.keys()


def test_no_built_in_codec_imports_the_payload() -> None:
    for name, imported in IMPORTS.items():
        if _is_in(name, "builtin"):
            assert not {"payload", "inspection"} & imported, name


@pytest.mark.parametrize("place", range(len(LAYERS)))
def test_no_layer_imports_a_higher_one_or_a_built_in_codec(place: int) -> None:
    higher = ["builtin", *(layer for layers in LAYERS[place + 1 :] for layer in layers)]
    for name in MODULES:
        if any(_is_in(name, layer) for layer in LAYERS[place]):
            assert not [found for found in IMPORTS[name] if any(_is_in(found, layer) for layer in higher)], name
