"""plotly figures: ``[data, layout, frames, text of the grid of subplots, grid, further attributes]``.

The grid has for each cell null or the subplots ``[type, [layout key, ...], arguments of traces]`` in it.
"""

from __future__ import annotations

from typing import Any

from plotly import graph_objects as go
from plotly._subplots import SubplotRef

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import UnsupportedValueError
from airflow_xcom.codecs.nodes import as_dict, as_list
from airflow_xcom.codecs.quoting import quoted

_LONGEST_NAME = 200  # characters
_MORE = ("_px_trendlines",)  # what plotly.express sets


def _encode(figure: Any) -> list[Any]:
    frames = [dict(frame._props) for frame in figure.frames]  # noqa: SLF001
    grid = figure._grid_ref and [[_take_cell(cell) for cell in row] for row in figure._grid_ref]  # noqa: SLF001
    more = {name: part for name, part in vars(figure).items() if name in _MORE}
    node = [figure._data, figure._layout, frames, figure._grid_str, grid, more]  # noqa: SLF001
    try:
        _decode(node, 1)
    except ValueError as error:
        msg = f"plotly does not make this figure again ({error}); return value.to_plotly_json()"
        raise UnsupportedValueError(msg) from error
    return node


def _take_cell(cell: Any) -> Any:
    return cell and [[ref.subplot_type, list(ref.layout_keys), dict(ref.trace_kwargs)] for ref in cell]


def _decode(node: Any, _version: int) -> Any:
    data, layout, frames, text, grid, more = as_list(node)
    _check_names([data, layout, frames])
    figure = go.Figure({"data": as_list(data), "layout": as_dict(layout), "frames": as_list(frames)})
    if not as_dict(layout).get("template"):  # plotly takes the reader's default in its place
        figure._layout.pop("template", None)  # noqa: SLF001
    _arrange([figure._data, figure._layout], [data, layout])  # noqa: SLF001
    figure._grid_str = text  # noqa: SLF001
    figure._grid_ref = grid and [[_make_cell(cell) for cell in as_list(row)] for row in as_list(grid)]  # noqa: SLF001
    vars(figure).update((name, part) for name, part in as_dict(more).items() if name in _MORE)
    return figure


def _check_names(part: Any) -> None:
    """Refuse properties with a long name: plotly compares a wrong one with all that it knows."""
    if isinstance(part, dict):
        if any(len(str(name)) > _LONGEST_NAME for name in part):
            raise ValueError(f"a property has a name of more than {_LONGEST_NAME} characters")
        part = list(part.values())
    if isinstance(part, list | tuple):
        for inner in part:
            _check_names(inner)


def _arrange(held: Any, wanted: Any) -> None:
    """Put the properties that plotly made into the order of those that it was given; refuse other ones."""
    if type(held) is not type(wanted):
        raise ValueError(f"a {type(wanted).__name__} becomes a {type(held).__name__}")
    if isinstance(held, list | tuple):
        for pair in zip(held, wanted, strict=True):
            _arrange(*pair)
    elif isinstance(held, dict):
        held |= {name: {} for name in wanted.keys() - held.keys() if _is_empty(wanted[name])}  # plotly leaves them out
        if held.keys() != wanted.keys():
            raise ValueError(f"the properties {list(wanted)} become {list(held)}")
        for name in wanted:
            held[name] = held.pop(name)
            _arrange(held[name], wanted[name])
    elif repr(held) != repr(wanted):
        raise ValueError(f"{quoted(wanted)} becomes {quoted(held)}")


def _is_empty(part: Any) -> bool:
    return type(part) is dict and not part


def _make_cell(cell: Any) -> Any:
    return cell and tuple(SubplotRef(kind, tuple(as_list(keys)), as_dict(names)) for kind, keys, names in as_list(cell))


def _summarize(figure: Any) -> dict[str, Any]:
    return {"traces": [trace.type for trace in figure.data[:20]]}


CODECS = (Codec("plotly.Figure", (go.Figure,), _encode, _decode, summarize=_summarize, attributes=("_", *_MORE)),)
