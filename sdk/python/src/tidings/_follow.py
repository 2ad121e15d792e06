"""Following a job: its history, then live, each event once, until the job ends.

    for event in tidings.follow("job-42"):
        print(event.type, event.data)

The server's going away, deploys and broken connections are survived: it goes on
behind the last event. A cursor (`Event.cursor`, or `follower.cursor`) goes on in
another process.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from json import loads
from types import TracebackType
from typing import Any, Final, NamedTuple

import httpx

from ._entry import place
from ._http import async_transport, headers, job_path, network_error, response_error, server_url, transport
from ._sse import Message, Parser
from .errors import (
    AuthError,
    GapError,
    InvalidError,
    ProblemError,
    RewoundError,
    TidingsError,
    TooLargeError,
    UnavailableError,
    UnknownJobError,
)

_WAIT: Final = 300
"""Seconds that a server keeps a request for a job that does not exist yet."""
_READ_TIMEOUT: Final = 60.0
"""A quiet server sends a comment every 15 s; a silent one is gone."""
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 10.0
_FINAL: Final = (AuthError, InvalidError, ProblemError, TooLargeError)


class Event(NamedTuple):
    """An event of a job's log. `cursor` is where to go on after it."""

    id: str
    job_id: str
    type: str
    timestamp: str
    data: Any
    cursor: str

    @property
    def time(self) -> datetime:
        """The timestamp, as a time in UTC."""
        return datetime.fromisoformat(self.timestamp.replace("Z", "+00:00"))


class Notice(NamedTuple):
    """What happens to a stream besides events. `kind` is `connected`,
    `disconnected` (tried again after `retry_in` seconds), `stalled` (the worker
    gives no sign of life), `resumed` (it does again), `gap` or `rewound`, of which
    `error` tells more."""

    kind: str
    error: TidingsError | None = None
    retry_in: float = 0.0


def follow(
    job_id: str,
    *,
    url: str | None = None,
    token: str | None = None,
    after: str = "",
    types: Sequence[str] = (),
    wait: bool = False,
    on_notice: Callable[[Notice], object] | None = None,
    verify: Any = True,
    headers: Mapping[str, str] | None = None,
) -> Follower:
    """Follow a job on the server at `url` (default: TIDINGS_URL, else a local one)
    from behind the cursor `after` on, which by default is the start. The iterator
    ends when the job has.

    `types` are the event types wanted; none: all. `wait` waits for a job that does
    not exist yet, and for a server that is not there yet. Without `on_notice`, events
    that were trimmed raise `GapError` and a log that is another one `RewoundError`,
    both with the cursor to go on after; with it, they are told to it as the other
    notices are, and the iterator goes on. Raises `UnknownJobError` too if the job is
    deleted, `AuthError`, and, at the first connection, `UnavailableError`.
    """
    return Follower(_Place(job_id, url, token, after, types, wait, on_notice, headers), verify)


def afollow(
    job_id: str,
    *,
    url: str | None = None,
    token: str | None = None,
    after: str = "",
    types: Sequence[str] = (),
    wait: bool = False,
    on_notice: Callable[[Notice], object] | None = None,
    verify: Any = True,
    headers: Mapping[str, str] | None = None,
) -> AsyncFollower:
    """Follow a job with `async for`: see `follow`."""
    return AsyncFollower(_Place(job_id, url, token, after, types, wait, on_notice, headers), verify)


class _End(Exception):
    """Everything was received."""


class _Place:
    """Where a follower is, and what each message means: all but the network."""

    def __init__(
        self,
        job_id: str,
        url: str | None,
        token: str | None,
        after: str,
        types: Sequence[str],
        wait: bool,
        on_notice: Callable[[Notice], object] | None,
        more: Mapping[str, str] | None,
    ) -> None:
        self.url = server_url(url)
        self.cursor = after
        self.ended = False
        self._job_id = job_id
        self._path = job_path(job_id, "events")
        self._headers = headers(token, more) | {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        self._types = ",".join(types)
        self._wait = wait
        self._on_notice = on_notice
        self._pause = 0.0
        self._connected = False
        self._parser = Parser()

    def request(self) -> httpx.Request:
        """Give the request for what comes after the cursor."""
        query: dict[str, str] = {"type": self._types} if self._types else {}
        told = dict(self._headers)
        read = _READ_TIMEOUT
        if self._waiting():
            query["wait"] = str(_WAIT)
            read += _WAIT
        elif self.cursor:
            told["Last-Event-ID"] = self.cursor
        self._parser = Parser()
        timeout = httpx.Timeout(read, connect=5.0).as_dict()
        return httpx.Request(
            "GET", self.url + self._path, params=query, headers=told, extensions={"timeout": timeout}
        )

    def _waiting(self) -> bool:
        return self._wait and not self.cursor

    def opened(self, response: httpx.Response) -> None:
        """Judge an answer; one that is no success has been read."""
        if response.status_code == 204:
            raise _End
        if response.status_code >= 300:
            raise response_error(response)
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise ProblemError(f"{self.url} answers, but not as a Tidings server does", response.status_code)
        self._connected = True
        self._tell(Notice("connected"))

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Give the events that the bytes complete."""
        for message in self._parser.feed(chunk):
            self._pause = 0.0
            if message.id:
                event = self._event(message)
                if event is not None:
                    yield event
            else:
                self._control(message)

    def _event(self, message: Message) -> Event | None:
        if self._other_log(message.id):
            self._rewound(message.id)
        elif self.cursor and place(_id(message.id)) <= place(_id(self.cursor)):
            return None  # given before
        told = loads(message.data)
        self.cursor = message.id
        return Event(
            told["id"], told["job_id"], told["event_type"], told["timestamp"], told["data"], message.id
        )

    def _other_log(self, cursor: str) -> bool:
        ours, theirs = _tag(self.cursor), _tag(cursor)
        return bool(ours and theirs and ours != theirs)

    def _control(self, message: Message) -> None:
        try:
            told = loads(message.data)
        except ValueError:
            told = {}
        match message.event:
            case "end":
                raise _End
            case "deleted":
                raise UnknownJobError(f"job {self._job_id} was deleted")
            case "gap":
                first, tag = told.get("first_id", ""), told.get("incarnation", "")
                self.cursor = previous_id(first) + (f"~{tag}" if tag else "")
                self._report("gap", GapError(first, self.cursor))
            case "rewound":
                self._rewound(told.get("last_id", ""))
            case "stalled" | "resumed":
                self._tell(Notice(message.event))

    def _rewound(self, last: str) -> None:
        self.cursor = ""
        self._report("rewound", RewoundError(_id(last)))

    def _report(self, kind: str, error: TidingsError) -> None:
        if self._on_notice is None:
            raise error
        self._tell(Notice(kind, error))

    def _tell(self, notice: Notice) -> None:
        if self._on_notice is not None:
            self._on_notice(notice)

    def failed(self, error: Exception) -> float:
        """Say how long to wait before the next attempt, or raise what can't be helped."""
        if isinstance(error, (httpx.HTTPError, httpx.StreamError)):
            error = network_error(self.url, error)
        if not isinstance(error, TidingsError) or isinstance(error, (*_FINAL, GapError, RewoundError)):
            raise error
        if isinstance(error, UnknownJobError) and not self._waiting():
            raise error
        if isinstance(error, UnavailableError) and not self._connected and not self._wait:
            raise error
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        least = max(getattr(error, "retry_after", 0.0), self._parser.retry or 0.0)
        pause = max(self._pause * random.uniform(0.5, 1), least * random.uniform(1, 1.25))
        self._tell(Notice("disconnected", error, pause))
        return pause


def _id(cursor: str) -> str:
    return cursor.partition("~")[0]


def _tag(cursor: str) -> str:
    return cursor.partition("~")[2]


def previous_id(event_id: str) -> str:
    """Give the largest ID before an ID."""
    ms, seq = place(event_id)
    if seq:
        return f"{ms}-{seq - 1}"
    return f"{ms - 1}-{2**64 - 1}" if ms else "0-0"


_BROKE_OFF: Final = "the server closed the connection"


class Follower:
    """Gives the events of one job as they arrive. It belongs to one thread; `with`
    or `close` end its connection, as does the end of the iteration."""

    def __init__(self, place: _Place, verify: Any) -> None:
        self._place = place
        self._transport = transport(place.url, verify)
        self._events = self._run()

    @property
    def cursor(self) -> str:
        """Where to go on after the last event given."""
        return self._place.cursor

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def _run(self) -> Generator[Event, None, None]:
        try:
            while True:
                try:
                    yield from self._connection()
                except _End:
                    return
                except Exception as error:
                    pause = self._place.failed(error)
                time.sleep(pause)
        finally:
            self._transport.close()

    def _connection(self) -> Iterator[Event]:
        response = self._transport.handle_request(self._place.request())
        try:
            if response.status_code != 200:
                response.read()
            self._place.opened(response)
            for chunk in response.iter_raw():
                yield from self._place.feed(chunk)
        finally:
            response.close()
        raise UnavailableError(_BROKE_OFF)

    def close(self) -> None:
        """End the connection."""
        self._events.close()

    def __enter__(self) -> Follower:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncFollower:
    """Gives the events of one job as they arrive, to `async for`."""

    def __init__(self, place: _Place, verify: Any) -> None:
        self._place = place
        self._transport = async_transport(place.url, verify)
        self._events = self._run()

    @property
    def cursor(self) -> str:
        """Where to go on after the last event given."""
        return self._place.cursor

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        return await self._events.__anext__()

    async def _run(self) -> AsyncGenerator[Event, None]:
        try:
            while True:
                try:
                    async with aclosing(self._connection()) as events:
                        async for event in events:
                            yield event
                except _End:
                    return
                except Exception as error:
                    pause = self._place.failed(error)
                await asyncio.sleep(pause)
        finally:
            await self._transport.aclose()

    async def _connection(self) -> AsyncGenerator[Event, None]:
        response = await self._transport.handle_async_request(self._place.request())
        try:
            if response.status_code != 200:
                await response.aread()
            self._place.opened(response)
            async for chunk in response.aiter_raw():
                for event in self._place.feed(chunk):
                    yield event
        finally:
            await response.aclose()
        raise UnavailableError(_BROKE_OFF)

    async def aclose(self) -> None:
        """End the connection."""
        await self._events.aclose()

    async def __aenter__(self) -> AsyncFollower:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
