"""``airflow-xcom inspect``: what a stored value is, without making it."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from airflow_xcom.backend import compat
from airflow_xcom.backend.blob_urls import open_blob
from airflow_xcom.backend.blobs import ranges_of
from airflow_xcom.backend.commands.selection import chosen, described, summary_text
from airflow_xcom.backend.commands.terminal import human, say, say_columns, tell
from airflow_xcom.backend.envelope import Envelope
from airflow_xcom.backend.errors import RetiredPayloadError
from airflow_xcom.codecs import CodecError, registry
from airflow_xcom.codecs.inspection import outline, outline_json, refused_classes

_PLAIN = 4000  # characters of a plain value that are shown
_COLUMNS = 50  # of a table that people are shown


def run(options: Namespace) -> int:
    """Show it; return 1 if its payload cannot be read, after what the row says."""
    facts = _of_blob(options) if options.blob else _of_row(options)
    if options.output == "json":
        say(json.dumps(facts, indent=2))
    else:
        for label, text in _facts(facts):
            say(f"{label:<12}{text}")
        _say_outline(facts["outline"])
    if facts["error"] and options.output != "json":
        tell(f"airflow-xcom: {facts['error']}")
    return 1 if facts["error"] else 0


def _of_blob(options: Namespace) -> dict[str, Any]:
    url, fetch, size = open_blob(options.blob)
    payload = outline(fetch, size, rows=options.rows)
    return {"blob": url, "bytes": size, "outline": payload, "error": None, "classes": _not_allowed(payload)}


def _of_row(options: Namespace) -> dict[str, Any]:
    row = chosen(options)
    facts = {**described(row), "outline": None, "classes": []}
    if row.error is None:
        try:
            if row.envelope is None:
                facts["outline"] = {"format": "plain", "value": row.stored}
            else:
                row.envelope.check_origin(row.columns)
                facts["outline"] = _outline(row.envelope, options.rows)
            facts["classes"] = _not_allowed(facts["outline"])
        except CodecError as error:
            facts["error"] = str(error)
    return facts


def _outline(envelope: Envelope, rows: int) -> dict[str, Any]:
    if envelope.retired is not None:
        raise RetiredPayloadError(envelope.retired.at, envelope.retired.rule, envelope.coordinate.task_id)
    if envelope.items:
        items = {str(item.coordinate.key): _outline(item, rows) for item in envelope.items}
        return {"format": "items", "items": items}
    reference = envelope.reference
    if reference is None:
        return outline_json(envelope.data, rows=rows)
    return outline(ranges_of(reference), reference.size, rows=rows)


def _not_allowed(payload: dict[str, Any]) -> list[str]:
    registry.allow_classes(compat.allows_class, remedy=compat.CLASS_REMEDY)
    parts = payload["items"].values() if payload["format"] == "items" else [payload]
    return [refused for part in parts for refused in refused_classes(part)]


def _facts(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what people are told before the value itself: labels and texts."""
    payload = facts["outline"] or {}
    if "dag_id" in facts:
        names = {"dag_id": "dag", "run_id": "run", "task_id": "task", "map_index": "map index", "key": "key"}
        yield from ((label, str(facts[name])) for name, label in names.items())
        elsewhere = "retired" if "retired" in facts else "row"
        yield "place", elsewhere if facts["store"] is None else f"store {facts['store']}"
    tag = facts.get("tag") or payload.get("tag")
    if tag:
        yield "tag", tag + (f", version {payload['tag_version']}" if "tag_version" in payload else "")
    if facts.get("summary"):
        yield "summary", summary_text(facts["summary"], tag)
    if facts["bytes"] is not None:
        yield "size", f"{human(facts['bytes'])}" + (f" ({facts['bytes']:,} bytes)" if facts["bytes"] >= 1024 else "")  # noqa: PLR2004
    yield from ((name, facts[name]) for name in ("blob", "digest", "host") if facts.get(name))
    if facts.get("expires"):
        yield "expires", datetime.fromtimestamp(facts["expires"], UTC).isoformat()
    if payload:
        version = f", version {payload['version']}" if "version" in payload else ""
        compression = payload.get("compression", "none")
        yield "format", payload["format"] + version + (f", compressed: {compression}" if compression != "none" else "")
    yield from (("class", text) for text in facts["classes"])


def _say_outline(payload: dict[str, Any] | None) -> None:
    if payload is None:
        return
    if payload["format"] == "items":
        for key, item in payload["items"].items():
            say(f"\n{key}: {item.get('tag', item['format'])}")
            _say_outline(item)
    if payload["format"] == "plain":
        text = json.dumps(payload["value"], ensure_ascii=False)
        say(f"\n{text[:_PLAIN]}{'…' if len(text) > _PLAIN else ''}")
    if "columns" in payload:
        _say_table(payload)
    if "tree" in payload:
        say("")
        for line in _tree_lines(payload["tree"]):
            say(line)
    if payload.get("buffers"):
        sizes = [human(buffer["bytes"]) for buffer in payload["buffers"]]
        say(f"\nbuffers: {', '.join(sizes[:_COLUMNS])}{', …' if len(sizes) > _COLUMNS else ''}")


def _say_table(payload: dict[str, Any]) -> None:
    columns = payload["columns"]
    say(f"\n{payload['rows']:,} rows, {len(columns):,} columns")
    say_columns(("COLUMN", "TYPE"), ([column["name"], column["type"]] for column in columns[:_COLUMNS]))
    if len(columns) > _COLUMNS:
        say("…")
    if payload["head"] and columns:
        say("")
        names = [column["name"] for column in columns[:_COLUMNS]]
        rows = (["null" if cell is None else cell for cell in row[:_COLUMNS]] for row in payload["head"])
        say_columns(names, rows)


def _tree_lines(node: dict[str, Any], lead: str = "", indent: int = 0) -> Iterator[str]:
    """Yield the line of a node, then those of the nodes within it, further to the right."""
    while node["type"] in {"tagged", "shared"}:
        lead += _title(node) + " "
        node = node["node"]
    yield "  " * indent + lead + _title(node)
    items = node.get("items", [])
    for item in items:
        if node["type"] == "dict":
            yield from _tree_lines(item[1], f"{_key(item[0])}: ", indent + 1)
        else:
            yield from _tree_lines(item, "", indent + 1)
    if len(items) < node.get("length", 0):
        yield "  " * (indent + 1) + f"… {node['length'] - len(items):,} more"
    for column in node.get("columns", []) if node["type"] == "table" else []:
        yield "  " * (indent + 1) + f"{column['name']}: {column['type']}"


def _key(node: dict[str, Any]) -> str:
    return " ".join(line.strip() for line in _tree_lines(node))


def _title(node: dict[str, Any]) -> str:
    node_type = node["type"]
    if node_type == "tagged":
        return str(node["tag"])
    if node_type in {"shared", "same"}:
        return f"{'&' if node_type == 'shared' else '*'}{node['place']}"
    if "bytes" in node:
        packed = f", {node['compression']} to {human(node['stored'])}" if "compression" in node else ""
        return f"{node_type} of {human(node['bytes'])}{packed}"
    if "length" in node:
        return f"{node_type} of {node['length']:,}"
    if "value" in node:
        return json.dumps(node["value"], ensure_ascii=False)
    return "… not read"
