"""networkx graphs: the nodes, and the neighbours of each in their order.

::

    [class name, attributes of the graph, [[node, its attributes], ...], [[[place, edge], ...], ...], predecessors]

    place          of the neighbour among the nodes
    edge           its attributes, of a multigraph [[key, attributes], ...]; null where the neighbour, before, has it
    predecessors   of a directed graph, [[place, ...], ...]; else null
"""

from __future__ import annotations

from typing import Any

import networkx as nx

from airflow_xcom.codecs.codec import Codec
from airflow_xcom.codecs.errors import CorruptPayloadError
from airflow_xcom.codecs.nodes import as_dict, as_list, as_text
from airflow_xcom.codecs.object_state import refuse_other_attributes

_CLASSES: dict[str, Any] = {cls.__name__: cls for cls in (nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph)}

_STATE = ("_", "_succ", "graph", "adj", "succ", "pred", "nodes", "edges", "degree")


def _encode(graph: Any) -> list[Any]:
    refuse_other_attributes(graph, _STATE, remedy=f"return networkx.{type(graph).__name__}(value), a graph of its own")
    places = {name: place for place, name in enumerate(graph._node)}  # noqa: SLF001
    directed, multiple = graph.is_directed(), graph.is_multigraph()

    def edge(place: int, other: int, data: Any) -> Any:
        if not directed and other < place:
            return None
        return [[key, dict(held)] for key, held in data.items()] if multiple else dict(data)

    neighbours = [
        [[places[other], edge(place, places[other], data)] for other, data in held.items()]
        for place, held in enumerate(graph._adj.values())  # noqa: SLF001
    ]
    before = [[places[other] for other in held] for held in graph._pred.values()] if directed else None  # noqa: SLF001
    nodes = [[name, dict(held)] for name, held in graph._node.items()]  # noqa: SLF001
    return [type(graph).__name__, dict(graph.graph), nodes, neighbours, before]


def _decode(node: Any, _version: int) -> Any:
    name, attributes, nodes, neighbours, before = as_list(node)
    graph = _CLASSES[as_text(name)]()
    graph.graph.update(as_dict(attributes))
    names = [item for item, _ in as_list(nodes)]
    graph._node.update((item, as_dict(held)) for item, held in nodes)  # noqa: SLF001
    adjacent: list[dict[Any, Any]] = [{} for _ in names]
    edges: dict[tuple[int, int], Any] = {}
    for place, held in enumerate(as_list(neighbours)):
        for other, edge in as_list(held):
            ends = (place, _checked(other, names))
            edges[ends] = edges[ends[::-1]] if edge is None else _edge(graph, edge)
            adjacent[place][names[other]] = edges[ends]
    graph._adj.update(zip(names, adjacent, strict=True))  # noqa: SLF001
    if graph.is_directed():
        for place, held in enumerate(as_list(before)):
            graph._pred[names[place]] = {names[other]: edges[other, place] for other in as_list(held)}  # noqa: SLF001
    _check(graph, names, edges)
    return graph


def _edge(graph: Any, edge: Any) -> Any:
    return {key: as_dict(held) for key, held in as_list(edge)} if graph.is_multigraph() else as_dict(edge)


def _checked(place: Any, names: list[Any]) -> int:
    if type(place) is not int or not 0 <= place < len(names):
        raise CorruptPayloadError("an edge leads to no node")
    return place


def _check(graph: Any, names: list[Any], edges: dict[tuple[int, int], Any]) -> None:
    """Check that all edges stand on both of their sides."""
    back = graph._pred if graph.is_directed() else graph._adj  # noqa: SLF001
    count = sum(map(len, back.values()))
    if len(graph._node) != len(names) or count != len(edges):  # noqa: SLF001
        raise CorruptPayloadError("a graph with the same node twice, or an edge on one side alone")
    if not all(back[names[end]].get(names[start]) is edge for (start, end), edge in edges.items()):
        raise CorruptPayloadError("a graph with an edge on one side alone")


def _summarize(graph: Any) -> dict[str, Any]:
    return {"nodes": graph.number_of_nodes(), "edges": graph.number_of_edges()}


CODECS = (Codec("networkx.Graph", tuple(_CLASSES.values()), _encode, _decode, summarize=_summarize),)
