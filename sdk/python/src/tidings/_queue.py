"""The queue of one job: ordered, bounded by bytes, joining deltas."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timezone
from json import dumps
from typing import Final

MAX_BATCH_EVENTS: Final = 512
MAX_BATCH_BYTES: Final = 256 * 1024
ITEM_OVERHEAD: Final = 96
"""Bytes that an event takes in the queue besides its data."""

Rest = str | Callable[[str, str], str]
"""What is in a delta's data besides its text: its other members as JSON without
braces, or a function that makes the whole data of channel and text."""


class Event:
    """An event to publish: its data is JSON text already."""

    __slots__ = ("data", "time_ns", "type")

    def __init__(self, event_type: str, data: str, time_ns: int) -> None:
        self.type = event_type
        self.data = data
        self.time_ns = time_ns

    @property
    def timestamp(self) -> str:
        """When it happened: RFC 3339, UTC, microseconds."""
        return timestamp(self.time_ns)


def timestamp(time_ns: int) -> str:
    """Write nanoseconds since 1970 as every timestamp of an event is written."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    try:
        whole = datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return "1970-01-01T00:00:00.000000Z"
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{nanos // 1000:06d}Z"


class Loss:
    """What was dropped at one place of the queue."""

    __slots__ = ("bytes", "events", "since_ns")

    def __init__(self) -> None:
        self.events = 0
        self.bytes = 0
        self.since_ns = time.time_ns()

    def data(self) -> str:
        """Give the report of it, as the data of a custom event."""
        since = timestamp(self.since_ns)
        value = f'{{"events":{self.events},"bytes":{self.bytes},"since":"{since}"}}'
        return f'{{"name":"tidings.dropped","value":{value}}}'


class Item:
    """An event that waits."""

    __slots__ = ("channel", "data", "loss", "pieces", "rest", "round", "size", "stream", "time_ns", "type")

    def __init__(self, event_type: str, data: str, time_ns: int, size: int) -> None:
        self.type = event_type
        self.data = data
        self.time_ns = time_ns
        self.size = size
        self.stream: object | None = None  # of a delta
        self.channel = ""
        self.rest: Rest = ""
        self.pieces: list[str] = []
        self.round = 0
        self.loss: Loss | None = None

    def event(self) -> Event:
        """Write what waited as an event."""
        data = self.data
        if self.stream is not None:
            data = self._delta("".join(self.pieces))
        elif self.loss is not None:
            data = self.loss.data()
        return Event(self.type, data, self.time_ns)

    def _delta(self, text: str) -> str:
        if not isinstance(self.rest, str):
            return self.rest(self.channel, text)
        comma = "," if self.rest else ""
        told = dumps(text, ensure_ascii=False)
        return f'{{"status":"delta","channel":{dumps(self.channel)},"delta":{told}{comma}{self.rest}}}'


class Queue:
    """Holds events until they are taken. Its methods are called under the lock
    of its job's publisher, and never wait."""

    def __init__(self, limit: int, coalesce: float) -> None:
        self.limit = limit
        self.coalesce = coalesce
        self.items: deque[Item] = deque()
        self.bytes = 0  # of items, and of taken ones that are not freed yet
        self.ended = False  # the terminal event was put
        self.closed = False  # nothing more will come
        self.refusing: Exception | None = None
        self.urgent = 0  # callers of flush
        self.put = 0  # items ever put
        self.settled = 0  # of them acknowledged or given up
        self.dropped = 0
        self.strays = 0
        self._deltas = 0
        self._round = 0  # a delta joins only one of the same round
        self._last_delta = 0.0
        self._tails: dict[int, Item] = {}  # id of a stream -> its delta of this round
        self._open: Loss | None = None  # the last item, while it stands for dropped events

    def takes(self) -> bool:
        """Say whether the queue takes events at all."""
        return not self.ended and not self.closed and self.refusing is None

    def put_event(self, event_type: str, data: str, time_ns: int, terminal: bool) -> None:
        """Put an event, or count it as dropped or as a stray. A terminal one
        always finds room and is the last."""
        size = len(data) + len(event_type) + ITEM_OVERHEAD
        if not self.takes() or not (terminal or self._make_room(size)):
            self._reject(size)
            return
        self.ended = terminal
        self._next_round()
        self._append(Item(event_type, data, time_ns, size))

    def put_delta(self, stream: object, channel: str, text: str, rest: Rest) -> None:
        """Put a piece of a stream, joined to the one before if that still waits
        and only other streams' pieces came between."""
        size = len(text)
        last = self._tails.get(id(stream))
        if last is not None and (last.channel != channel or last.size > MAX_BATCH_BYTES // 4):
            last = None
        if last is None:
            size += ITEM_OVERHEAD + (len(rest) if isinstance(rest, str) else 0)
        if not self.takes() or self.bytes + size > self.limit:
            self._reject(size)
            return
        if last is not None:
            last.pieces.append(text)
            last.size += size
            self.bytes += size
            return
        item = Item("thought", "", time.time_ns(), size)
        item.stream, item.channel, item.rest, item.round = stream, channel, rest, self._round
        item.pieces.append(text)
        self._tails[id(stream)] = item
        self._deltas += 1
        self._append(item)

    def due(self, now: float) -> float | None:
        """Say when the next batch should be taken, by the monotonic clock; None:
        when something comes."""
        if not self.items:
            return None
        hurried = self.urgent or self.ended or self.closed
        if hurried or self._deltas < len(self.items) or self.bytes >= MAX_BATCH_BYTES:
            return now
        return self._last_delta + self.coalesce

    def pop(self, now: float) -> tuple[list[Item], int]:
        """Take the items of the next batch, and say what they take. Their bytes
        stay counted until they are freed."""
        taken: list[Item] = []
        size = 0
        while self.items and len(taken) < MAX_BATCH_EVENTS:
            item = self.items[0]
            if taken and size + item.size > MAX_BATCH_BYTES:
                break
            self.items.popleft()
            taken.append(item)
            size += item.size
            if item.stream is not None:
                self._deltas -= 1
                self._last_delta = now
                if self._tails.get(id(item.stream)) is item:
                    del self._tails[id(item.stream)]
            if item.loss is not None and item.loss is self._open:
                self._open = None
        return taken, size

    def refuse(self, reason: Exception) -> None:
        """Take nothing more, and give up what is there."""
        if self.refusing is None:
            self.refusing = reason
            self.strays += self._empty()

    def abandon(self) -> int:
        """Drop what is there and say how many events that were."""
        n = self._empty()
        self.dropped += n
        return n

    def _append(self, item: Item) -> None:
        self.items.append(item)
        self.bytes += item.size
        self.put += 1
        self._open = item.loss

    def _next_round(self) -> None:
        if self._tails:
            self._tails.clear()
        self._round += 1

    def _reject(self, size: int) -> None:
        if self.takes():
            self._drop(1, size)
        else:
            self.strays += 1

    def _drop(self, events: int, size: int) -> None:
        """Count lost events and leave a note at this place, which finds room always."""
        self.dropped += events
        if self._open is None:
            self._next_round()
            item = Item("custom", "", time.time_ns(), ITEM_OVERHEAD)
            item.loss = Loss()
            self._append(item)
        assert self._open is not None
        self._open.events += events
        self._open.bytes += size

    def _make_room(self, size: int) -> bool:
        """Say whether so many more bytes may be put; deltas are let go for them."""
        if self.bytes + size > self.limit and self._deltas:
            self._evict_deltas(self.bytes + size - self.limit)
        return self.bytes + size <= self.limit

    def _evict_deltas(self, need: int) -> None:
        """Drop the newest deltas, until so many bytes are free."""
        self._next_round()
        kept: deque[Item] = deque()
        events = freed = 0
        while self.items:
            item = self.items.pop()
            if item.stream is not None and freed < need:
                events += 1
                freed += item.size
            else:
                kept.appendleft(item)
        self.items = kept
        self.bytes -= freed
        self._deltas -= events
        self.settled += events
        self._open = kept[-1].loss if kept else None
        self._drop(events, freed)

    def _empty(self) -> int:
        n = len(self.items)
        self.bytes -= sum(item.size for item in self.items)
        self.items.clear()
        self._tails.clear()
        self._deltas = 0
        self._open = None
        self.settled += n
        return n
