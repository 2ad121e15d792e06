"""Entries of the Redis streams: docs/redis.md says what is in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from json import dumps, loads
from typing import Any, Final, NamedTuple, NoReturn

from ._queue import Event
from .errors import InvalidError

MAX_TYPE_BYTES: Final = 64
MAX_DEPTH: Final = 9_900

_SPACE: Final = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')
_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


def envelope(job_id: str, event: Event) -> bytes:
    """Write what stands in the field `data` of an entry; raises `InvalidError`."""
    kind = event.type
    if not kind or len(kind.encode("utf-8", "replace")) > MAX_TYPE_BYTES:
        raise InvalidError(f"{kind[:80]!r} can't be an event type: it has 1 to {MAX_TYPE_BYTES} bytes")
    data = checked(event.data)
    head = f'{{"event_type":{text(kind)},"data":'
    tail = f',"timestamp":"{event.timestamp}","job_id":{text(job_id)}}}'
    return (head + data + tail).encode("utf-8", "replace")


def text(value: str) -> str:
    """Write a string as JSON."""
    return dumps(value, ensure_ascii=False)


def checked(data: str) -> str:
    """Give JSON text without white space between its tokens; raises `InvalidError`."""
    try:
        loads(data, parse_constant=_refuse, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"the data is not valid JSON: {error}") from None
    if data.count("[") + data.count("{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise InvalidError(f"the data nests over {MAX_DEPTH} levels deep")
    if any(c in data for c in " \t\r\n"):
        data = _SPACE.sub(lambda m: m.group(1) or "", data)
    return data


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _depth(data: str) -> int:
    depth = deepest = 0
    for token in _TOKENS.findall(data):
        depth += token in "[{"
        deepest = max(deepest, depth)
        depth -= token in "]}"
    return deepest


class Entry(NamedTuple):
    """An entry as a reader takes it: `data` is parsed."""

    id: str
    type: str
    timestamp: str
    data: Any

    @property
    def terminal(self) -> bool:
        """Whether it ends the log."""
        if self.type != "error":
            return self.type in ("done", "cancelled")
        return isinstance(self.data, dict) and self.data.get("fatal") is True


def parse(entry: Sequence[Any]) -> Entry:
    """Read an entry as XRANGE gives it, whoever wrote it; it never fails."""
    entry_id = entry[0].decode()
    flat = [f.decode("utf-8", "replace") for f in entry[1]]
    fields = dict(zip(flat[::2], flat[1::2]))
    kind, timestamp, data = fields.get("event_type", ""), fields.get("timestamp", ""), fields.get("data")
    told: Any
    if data is None:
        told = {k: v for k, v in fields.items() if k not in ("event_type", "timestamp")}
    else:
        told = _loads(data)
        inner = told.get("event_type", told.get("event")) if isinstance(told, dict) else None
        if isinstance(told, dict) and "data" in told and isinstance(inner, str) and kind in ("", inner):
            kind = kind or inner
            timestamp = timestamp or str(told.get("timestamp") or "")
            told = told["data"]
    return Entry(entry_id, kind or "custom", timestamp, told)


def _loads(data: str) -> Any:
    try:
        return loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return data


def before(a: str, b: str) -> bool:
    """Say whether one ID lies before another."""
    return place(a) < place(b)


def place(entry_id: str) -> tuple[int, int]:
    """Give an ID as numbers that compare."""
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq or 0)
