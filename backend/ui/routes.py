"""What answers below ``/xcom-data``: pages, assets, and data that is read for one XCom at a time.

Airflow authenticates nobody here.  Every route asks for a user of Airflow; those that read values hang on one router,
which requires that the user may read the XComs of the Dag in the path, and nothing else names a Dag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response

from airflow_xcom.backend import errors
from airflow_xcom.backend.envelope import Coordinate
from airflow_xcom.backend.ui.access import RIGHTS, STORE_RIGHTS, Few, Number, Path, Place
from airflow_xcom.backend.ui.answers import answer, any_error_typed, error_answer, stream, stream_lines
from airflow_xcom.backend.ui.array_view import ArrayView
from airflow_xcom.backend.ui.assets import of_assets
from airflow_xcom.backend.ui.column_statistics import column_statistics
from airflow_xcom.backend.ui.comparison import comparison
from airflow_xcom.backend.ui.downloads import DOWNLOADS, download, downloads_of, verification
from airflow_xcom.backend.ui.lines import line_of_column
from airflow_xcom.backend.ui.pictures import picture as small_picture
from airflow_xcom.backend.ui.rows import history, list_rows
from airflow_xcom.backend.ui.shapes import drawn
from airflow_xcom.backend.ui.storage import owner_of_store, storage, stores_and_reports
from airflow_xcom.backend.ui.stored_values import StoredValue, open_value
from airflow_xcom.backend.ui.table_view import CUT, TableView
from airflow_xcom.backend.ui.turns import Turns
from airflow_xcom.codecs import CodecError

Message = MutableMapping[str, Any]

_CELLS = 6000  # of a response
_LONG = 1 << 16  # characters of one cell that is asked for alone
_WINDOW = 200  # rows and columns of a heat map
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}
_TYPES = {"js": "text/javascript", "css": "text/css"}
_KEPT = "private, max-age=604800, immutable"  # an asset whose address tells its content
_PAGE_OF_TASK = re.compile("dags/([^/]+)/runs/([^/]+)/tasks/([^/]+)/([^/]+)")
_PLAIN = "!'()*"  # characters that browsers do not escape, but Python does
_LEVELS = 3  # of an index that a page shows


def create_app(turns: Turns | None = None) -> FastAPI:
    """Return the application; without pages of documentation, which would be public."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])
    app.state.turns = turns or Turns()
    app.include_router(_open)
    app.include_router(_of_dag)
    app.include_router(_of_stores)
    app.include_router(of_assets)
    for error in {MemoryError, CodecError}:
        app.add_exception_handler(error, error_answer)
    app.add_middleware(_Headers)
    return app


class _Headers:
    """Adds the headers that keep a page from loading or sending anything elsewhere."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                theirs = [*message.get("headers", ())]
                given = {name for name, _ in theirs}
                ours = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*theirs, *(pair for pair in ours if pair[0] not in given)]}
            await send(message)

        await self._app(scope, receive, sent)


_open = APIRouter()
_of_dag = APIRouter(prefix="/api/dags/{dag_id}", dependencies=RIGHTS)
_of_stores = APIRouter(prefix="/api/stores", dependencies=STORE_RIGHTS)
_TASK = "/runs/{run_id}/tasks/{task_id}/{map_index}"


def _steps(text: str) -> list[int]:
    return [int(step) for step in text.split(".")] if text else []


# -- pages ---------------------------------------------------------------------------------------------------


@cache
def _assets() -> dict[str, bytes]:
    """Return what the files of the pages hold, by their names."""
    found = (files("airflow_xcom.backend.ui") / "web").iterdir()
    return {each.name: each.read_bytes() for each in sorted(found, key=lambda each: each.name)}


@cache
def _digest() -> str:
    """Return what stands in the addresses of assets, so that browsers may keep them: another version has another."""
    return sha256(b"\0".join(_assets().values())).hexdigest()[:16]


@_open.get("/page/{path:path}")
async def page(path: str) -> Response:
    """Return the page; its script reads the address and asks for data, some of which is on its way by then."""
    up = "../" * (path.count("/") + 1)
    folder = f"{up}static/{_digest()}"
    asked = (f'<link rel="preload" as="fetch" crossorigin href="{escape(up + each)}">' for each in _first_data(path))
    scripts = (f'<link rel="modulepreload" href="{folder}/{name}">' for name in _assets() if name.endswith(".js"))
    html = _assets()["page.html"].decode().replace("{links}", "\n".join([*asked, *scripts]))
    return Response(html.replace("{folder}", folder), media_type="text/html")


def _first_data(path: str) -> list[str]:
    """Return what the script of a task's page asks for first, in its very words: browsers compare addresses."""
    if (place := _PAGE_OF_TASK.fullmatch(path)) is None:
        return []
    dag, run, task, index = (quote(part, safe=_PLAIN) for part in place.groups())
    address = f"api/dags/{dag}/runs/{run}/tasks/{task}/{index if index.isdecimal() else -1}"
    return [f"{address}/xcoms", f"{address}/result?rows=50&columns=10"]


@_open.get("/static/{digest}/{name}")
async def static(digest: str, name: str) -> Response:
    """Return an asset; of another version than the page's, this one, which no browser keeps."""
    kind = _TYPES.get(name.rpartition(".")[2])
    if name not in _assets() or kind is None:
        raise HTTPException(404, "there is no such file")
    headers = {"cache-control": _KEPT} if digest == _digest() else {}
    return Response(_assets()[name], headers=headers, media_type=kind)


# -- data ----------------------------------------------------------------------------------------------------


@_of_dag.get("/storage")
async def storage_of_dag(request: Request, user: GetUserDep, at: Place) -> Response:
    """Return what the values of a Dag take."""
    return await answer(request, user, storage, str(at.dag_id))


@_of_stores.get("")
async def stores(request: Request, user: GetUserDep) -> Response:
    """Return the stores, and what was last reported of them and of retention."""
    return await answer(request, user, stores_and_reports)


@_of_stores.get("/owner")
async def owner(request: Request, user: GetUserDep, name: str) -> Response:
    """Return whose a store is."""
    return await answer(request, user, owner_of_store, name)


@_of_dag.get("/runs/{run_id}/xcoms")  # noqa: FAST003 - Place has the run
async def xcoms_of_run(request: Request, user: GetUserDep, at: Place) -> Response:
    """Return all values of a run."""
    return await answer(request, user, list_rows, at)


@_of_dag.get(f"{_TASK}/xcoms")
async def xcoms(request: Request, user: GetUserDep, at: Place) -> Response:
    """Return the values of a task instance."""
    return await answer(request, user, list_rows, at)


@_of_dag.get(f"{_TASK}/items")
async def items(request: Request, user: GetUserDep, at: Place, path: Path = "", first: Number = 0) -> Response:
    """Return a part of a tree."""
    return await answer(request, user, lambda: _opened(at).items(_steps(path), first))


class Window(NamedTuple):
    """What is asked for of a table or an array: a part of it, and rows and columns of that."""

    path: list[int]
    plane: list[int]
    rows: range
    columns: range


def _window(  # noqa: PLR0913, PLR0917 - a function, since older releases of FastAPI do not resolve types of a class
    path: Path = "", index: Path = "", row: Number = 0, rows: Few = 0, column: Number = 0, columns: Few = 0
) -> Window:
    if rows * columns > _CELLS:
        raise HTTPException(413, f"at most {_CELLS} cells at a time")
    return Window(_steps(path), _steps(index), range(row, row + rows), range(column, column + columns))


Asked = Annotated[Window, Depends(_window)]


@_of_dag.get(f"{_TASK}/value")
async def value(request: Request, user: GetUserDep, at: Place, window: Asked) -> Response:
    """Return what a value, or a part of it, is, and of a table the first cells if the window says how many."""
    return await answer(request, user, _value, at, window)


def _value(at: Coordinate, window: Window) -> dict[str, Any]:
    found = _opened(at)
    facts = found.describe(window.path)
    downloads = downloads_of(found, facts["kind"], window.path) if found.preview == "rows" else []
    if facts["kind"] == "table" and window.columns:
        with suppress(CodecError, MemoryError), any_error_typed():  # which the request for cells alone will tell
            facts["first"] = _first(found, found.table(window.path), window)
    return {**facts, "downloads": downloads, "read": found.read, "size": found.size}


@_of_dag.get(f"{_TASK}/result")
async def result(request: Request, user: GetUserDep, at: Place, window: Asked) -> Response:
    """Return the same of what a task returned, or null: its page asks before it knows whether there is something."""
    return await answer(request, user, _result, replace(at, key="return_value"), window)


def _result(at: Coordinate, window: Window) -> dict[str, Any] | None:
    with suppress(errors.XComNotFoundError):
        return _value(at, window)
    return None


def _first(found: StoredValue, table: TableView, window: Window) -> dict[str, Any] | None:
    """Return the cells in the first block of a grid, and in the blocks in which the index is, unless they are many."""
    width, step = len(table.schema), len(window.columns)
    levels = range(width - table.index, width)[:_LEVELS]
    starts = {0, *(position - position % step for position in levels)}
    positions = [position for start in sorted(starts) for position in range(width)[start : start + step]]
    return _block(found, table, window.rows, positions) if len(positions) * len(window.rows) <= _CELLS else None


@_of_dag.get(f"{_TASK}/cells")
async def cells(request: Request, user: GetUserDep, at: Place, window: Asked) -> Response:
    """Return the columns and the cells of a window of a table; one cell alone may be long."""
    return await answer(request, user, _cells, at, window)


def _cells(at: Coordinate, window: Window) -> dict[str, Any]:
    found = _opened(at)
    found.refuse_hidden("columns")
    table = found.table(window.path)
    positions = range(len(table.schema))[window.columns.start : window.columns.stop]
    facts = {"first": window.rows.start, "column": positions.start}
    return {**facts, **_block(found, table, window.rows, positions), "read": found.read, "size": found.size}


def _block(found: StoredValue, table: TableView, rows: range, positions: Sequence[int]) -> dict[str, Any]:
    """Return some columns, and their cells in some rows if these may be shown."""
    labels, numbers = (each[rows.start : rows.stop] for each in (table.numbers, range(table.rows)))
    shown: list[list[str | None]] = []
    if found.preview == "rows" and len(numbers) and len(positions):
        shown = table.cells(positions, numbers, _LONG if len(numbers) * len(positions) == 1 else CUT)
    return {"columns": table.columns(positions), "cells": shown, "numbers": [str(label) for label in labels]}


@_of_dag.get(f"{_TASK}/array")
async def array(request: Request, user: GetUserDep, at: Place, window: Asked) -> Response:
    """Return the cells of a window of an array."""
    show = _of_array(lambda view: {"cells": view.texts(*window[1:])}, window.path)
    return await answer(request, user, _shown, at, show)


@_of_dag.get(f"{_TASK}/line")
async def line(request: Request, user: GetUserDep, at: Place, window: Asked) -> Response:
    """Return an array with one axis, or a column of a table, from a row on, as a line."""
    path, first = window.path, window.rows.start

    def act(found: StoredValue) -> dict[str, Any]:
        if found.has_array(path):
            return _of_array(lambda view: view.line(first), path)(found)
        return line_of_column(found.table(path), window.columns.start, first)

    return await answer(request, user, _shown, at, act)


@_of_dag.get(f"{_TASK}/picture")
async def picture(request: Request, user: GetUserDep, at: Place, window: Asked) -> Response:
    """Return an image, or one of an array of images, as a PNG file in JSON."""
    number = next(iter(window.plane), 0)
    return await answer(request, user, _shown, at, lambda found: small_picture(found.pixels(window.path, number)))


@_of_dag.get(f"{_TASK}/shapes")
async def shapes(request: Request, user: GetUserDep, at: Place, window: Asked) -> Response:
    """Return a geometry, or those of some rows of a column, as paths on a plane."""
    place = window.path, window.columns.start, window.rows
    return await answer(request, user, _shown, at, lambda found: drawn(found.geometries(*place)))


@_of_dag.get(f"{_TASK}/heat")
async def heat(request: Request, user: GetUserDep, at: Place, window: Asked) -> Response:
    """Return a window of an array, from a row and a column on, as levels."""
    rows, columns = (range(part.start, part.start + _WINDOW) for part in (window.rows, window.columns))
    show = _of_array(lambda view: view.heat(window.plane, rows, columns), window.path)
    return await answer(request, user, _shown, at, show)


def _shown(at: Coordinate, show: Callable[[StoredValue], dict[str, Any]]) -> dict[str, Any]:
    """Return what is shown of a value that may be, and how much of it was read."""
    found = _opened(at)
    found.refuse_hidden()
    return {**show(found), "read": found.read, "size": found.size}


def _of_array(show: Callable[[ArrayView], dict[str, Any]], path: list[int]) -> Callable[[StoredValue], dict[str, Any]]:
    def act(found: StoredValue) -> dict[str, Any]:
        view = ArrayView(*found.array(path))
        return {**show(view), "shape": view.shape, "axes": view.axes}

    return act


@_of_dag.get(f"{_TASK}/statistics")
async def statistics(request: Request, user: GetUserDep, at: Place, column: Number, path: Path = "") -> Response:
    """Return lines of JSON: the progress, and at last the statistics of a column."""
    return await stream_lines(request, user, lambda: _statistics(at, _steps(path), column))


def _statistics(at: Coordinate, path: list[int], column: int) -> Iterator[dict[str, Any]]:
    found = _opened(at)
    found.refuse_hidden()
    table = found.table(path)
    if column >= len(table.schema) or table.masked[column]:
        raise errors.HiddenValueError(str(at.dag_id), "there is no such column, or Airflow masks what has its name")
    for facts in column_statistics(lambda: found.again().table(path), column):
        yield {**facts, "read": found.read, "size": found.size}


@_of_dag.get(f"{_TASK}/history")
async def over_time(request: Request, user: GetUserDep, at: Place) -> Response:
    """Return what the rows of a value say in this run and earlier ones."""
    if at.key is None:
        raise HTTPException(404, "the request names no key")
    return await answer(request, user, history, at)


@_of_dag.get(f"{_TASK}/compare/{{other}}")
async def compare(request: Request, user: GetUserDep, at: Place, other: str) -> Response:
    """Return lines of JSON: how the table of another run of this Dag differs from that of this one."""
    return await stream_lines(request, user, lambda: comparison(_opened(replace(at, run_id=other)), _opened(at)))


@_of_dag.get(f"{_TASK}/verify")
async def verify(request: Request, user: GetUserDep, at: Place) -> Response:
    """Return lines of JSON: the progress, and at last whether the digest is that of the row."""
    return await stream_lines(request, user, lambda: verification(_opened(at)))


@_of_dag.get(f"{_TASK}/download/{{kind}}")
async def save(request: Request, user: GetUserDep, at: Place, kind: str, path: Path = "") -> Response:
    """Return a value as a file."""
    if kind not in DOWNLOADS:
        raise HTTPException(404, f"there are the formats {', '.join(DOWNLOADS)}")
    name = f"{at.dag_id}.{at.task_id}.{at.key}.{kind}"
    return await stream(request, user, _saved(at, kind, _steps(path)), "application/octet-stream", name)


def _saved(at: Coordinate, kind: str, path: list[int]) -> Iterator[bytes]:
    with any_error_typed():
        yield from download(_opened(at), kind, path)


def _opened(at: Coordinate) -> StoredValue:
    """Return a value with nothing read; it is opened anew for each request, so that the server keeps nothing."""
    if at.key is None:
        raise errors.XComNotFoundError("the request names no key")
    return open_value(at)
