"""Following a job straight from Redis."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from ._entry import before, parse, place
from ._follow import Event, Notice, previous_id
from ._queue import timestamp
from ._redis import connections
from ._scripts import Logs
from .errors import GapError, RewoundError, TidingsError, UnavailableError, UnknownJobError
from .publisher import check_job_id

DEFAULT_PREFIX: Final = "job_events:"
_STEP: Final = 256
_LONGEST_PAUSE: Final = 5.0


def follow(
    client: Any,
    job_id: str,
    *,
    prefix: str = DEFAULT_PREFIX,
    after: str = "",
    types: Sequence[str] = (),
    wait: bool = False,
    on_notice: Callable[[Notice], object] | None = None,
    poll: float = 0.2,
) -> Generator[Event, None, None]:
    """Follow a job straight from Redis, as `tidings.follow` does through a server.

    `client` is what `RedisStreamPublisher` takes. It looks for what is new every
    `poll` seconds, which is for scripts and workers: many viewers are a server's
    work, which also knows of workers that give no sign of life.
    """
    log = _Log(client, job_id, prefix, after, types, wait, on_notice)
    try:
        while not log.ended:
            events, pause = log.step(poll)
            yield from events
            if pause and not log.ended:
                time.sleep(pause)
    finally:
        log.close()


async def afollow(
    client: Any,
    job_id: str,
    *,
    prefix: str = DEFAULT_PREFIX,
    after: str = "",
    types: Sequence[str] = (),
    wait: bool = False,
    on_notice: Callable[[Notice], object] | None = None,
    poll: float = 0.2,
) -> AsyncGenerator[Event, None]:
    """Follow a job straight from Redis with `async for`: see `follow`."""
    log = _Log(client, job_id, prefix, after, types, wait, on_notice)
    try:
        while not log.ended:
            events, pause = await asyncio.to_thread(log.step, poll)
            for event in events:
                yield event
            if pause and not log.ended:
                await asyncio.sleep(pause)
    finally:
        log.close()


class _Log:
    """Where a follower is."""

    def __init__(
        self,
        client: Any,
        job_id: str,
        prefix: str,
        after: str,
        types: Sequence[str],
        wait: bool,
        on_notice: Callable[[Notice], object] | None,
    ) -> None:
        check_job_id(job_id)
        self.ended = False
        self._to = connections(client)
        self._logs = Logs(self._to, prefix)
        self._job_id = job_id
        self._at, _, self._tag = after.partition("~")
        self._types = frozenset(types)
        self._wait = wait
        self._on_notice = on_notice
        self._begun = bool(after)
        self._connected = False
        self._failures = 0

    def close(self) -> None:
        """End the connections."""
        self._to.close()

    def step(self, poll: float) -> tuple[list[Event], float]:
        """Give what is new, and how long to wait before the next look."""
        try:
            events = self._read()
        except UnavailableError as error:
            if not self._connected and not self._wait:
                raise
            self._failures += 1
            pause = min(poll * 2**self._failures, _LONGEST_PAUSE) * random.uniform(0.5, 1)
            self._tell(Notice("disconnected", error, pause))
            return [], pause
        if not self._connected or self._failures:
            self._tell(Notice("connected"))
        self._connected, self._failures = True, 0
        return [e for e in events if not self._types or e.type in self._types], 0.0 if events else poll

    def _read(self) -> list[Event]:
        state = self._logs.look(self._job_id)
        if not state:
            if self._begun or not self._wait:
                raise UnknownJobError(f"there is no job {self._job_id}, or it was deleted")
            return []
        _, tag, last, end, first, trimmed, _, removed = state
        self._begun = True
        self._outcome(tag, last, first, trimmed, removed == "1")
        self._tag = tag
        found = [parse(entry) for entry in self._logs.entries(self._job_id, self._at or "0-0", _STEP, last)]
        events = []
        for entry in found:
            told = entry.timestamp or timestamp(place(entry.id)[0] * 1_000_000)
            events.append(Event(entry.id, self._job_id, entry.type, _utc(told), entry.data, f"{entry.id}~{tag}"))
            self._at = entry.id
            if entry.terminal:
                break
        self.ended = bool(found and events[-1].id == end) or bool(end and not found)
        return events

    def _outcome(self, tag: str, last: str, first: str, trimmed: str, removed: bool) -> None:
        """Tell of a cursor that can't be continued exactly."""
        at = self._at or "0-0"
        if self._tag and self._tag != tag or before(last, at):
            self._at = at = "0-0"
            self._tag = ""
            self._report("rewound", RewoundError(last))
        gap = bool(trimmed) and before(at, trimmed)
        if not gap and first and before(at, previous_id(first)) and not (at == trimmed and at != "0-0"):
            gap = removed
        if gap:
            self._at = previous_id(first or last)
            self._report("gap", GapError(first, f"{self._at}~{tag}"))

    def _report(self, kind: str, error: TidingsError) -> None:
        if self._on_notice is None:
            raise error
        self._tell(Notice(kind, error))

    def _tell(self, notice: Notice) -> None:
        if self._on_notice is not None:
            self._on_notice(notice)


def _utc(text: str) -> str:
    """Give a time as publishers in the field write it as all events have it, if it can be read."""
    try:
        if text.replace(".", "", 1).isdigit():
            return timestamp(int(float(text) * 1_000_000) * 1000)
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, OverflowError):
        return text
    at = at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)
    return f"{at.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z"
