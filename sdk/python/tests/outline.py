"""A log as an indented text for people and golden texts: one line an event, each run
beneath the one around it, without IDs and times; neighbouring deltas of a stream are one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def outline(events: Iterable[Any]) -> str:
    """Write events that have a `type` and `data`."""
    depth: dict[str, int] = {}
    lines: list[str] = []
    stream: tuple[Any, ...] | None = None
    for event in events:
        data = event.data
        place = (data.get("run_id"), data.get("channel")) if data.get("status") == "delta" else None
        if place is not None and place == stream:
            lines[-1] = lines[-1][:-1] + data["delta"] + '"'
            continue
        stream = place
        lines.append("  " * _depth(data, depth) + _line(event.type, data))
    return "\n".join(lines) + "\n"


def _depth(data: dict[str, Any], depth: dict[str, int]) -> int:
    run = data.get("run_id")
    if run is None:
        return 0
    if run not in depth:
        parent = data.get("parent_run_id")
        depth[run] = depth.get(parent, 0) + 1 if parent is not None else 1
    return depth[run]


def _line(kind: str, data: dict[str, Any]) -> str:
    if kind == "phase_update":
        words = [data.get("phase", "?"), data["status"]]
    elif kind == "thought":
        words = [data["status"], data.get("channel", "")]
    elif kind in ("tool_call", "tool_result"):
        words = [data["tool"], data["call_id"]]
    elif kind == "custom":
        words = [data["name"]]
    else:
        words = [data.get("scope", ""), "fatal" if data.get("fatal") else ""]
    for name in ("kind", "error_kind", "ns", "step", "attempt", "input", "output", "content", "tool_calls", "finish_reason", "usage"):
        if name in data and not (name == "kind" and data[name] in ("llm", "tool")):
            words.append(f"{name}={_short(data[name])}")
    for name in ("value", "interrupts", "error", "by", "reason", "snapshot"):
        if name in data:
            words.append(f"{name}={_short(data[name])}")
    if data.get("status") == "interrupted" and "interrupts" in data:
        words[-1] = f"asks={_short([i.get('value') for i in data['interrupts']])}"
    if "cause_run_id" in data:
        words.append("(told)")
    if "delta" in data:
        words.append(f'"{data["delta"]}"')
    return " ".join([kind, *(word for word in words if word)])


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else text[:100] + "…"
