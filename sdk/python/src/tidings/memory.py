"""A publisher that keeps events in memory: for tests of what publishes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from json import loads
from typing import Any, NamedTuple

from ._queue import Event
from .errors import ClosedError, FencedError, SequenceError
from .publisher import JobPublisher, Producer, Publisher, Receipt, StopRequest, is_terminal


class Stored(NamedTuple):
    """An event of a log in memory. `data` is parsed, `json` as it was given."""

    type: str
    data: Any
    json: str
    timestamp: str


class MemoryPublisher(Publisher):
    """Keeps the events of each job. `events` and `cancel` may be called at any time."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"cancel_poll": 0.05, **settings})
        self._memory_lock = threading.Lock()
        self._logs: dict[str, list[Stored]] = {}
        self._closed_jobs: set[str] = set()
        self._producers: dict[tuple[str, str], tuple[int, int]] = {}
        self._asked: dict[str, StopRequest] = {}

    def events(self, job_id: str, timeout: float = 10.0) -> list[Stored]:
        """Give the events of the job, once all that was put before is stored."""
        self.flush(timeout)
        with self._memory_lock:
            return list(self._logs.get(job_id, ()))

    def cancel(self, job_id: str, by: str = "", reason: str = "") -> None:
        """Ask the job to stop."""
        with self._memory_lock:
            self._asked[job_id] = StopRequest(by, reason)

    def _append(self, job: JobPublisher, producer: Producer, events: Sequence[Event]) -> Receipt:
        with self._memory_lock:
            key = (job.job_id, producer.id)
            epoch, seq = self._producers.get(key, (-1, -1))
            if producer.epoch < epoch:
                raise FencedError(f"epoch {epoch} has taken over", epoch)
            if producer.epoch == epoch and producer.seq <= seq:
                return Receipt(duplicate=True)
            if job.job_id in self._closed_jobs:
                raise ClosedError("the job has ended")
            expected = seq + 1 if producer.epoch == epoch else 0
            if producer.seq != expected:
                raise SequenceError(f"sequence {expected} is the next", expected)
            self._producers[key] = (producer.epoch, producer.seq)
            stored = [Stored(e.type, loads(e.data), e.data, e.timestamp) for e in events]
            self._logs.setdefault(job.job_id, []).extend(stored)
            if is_terminal(events[-1].type, events[-1].data):
                self._closed_jobs.add(job.job_id)
            return Receipt()

    def _heartbeat(self, job: JobPublisher, producer: Producer, ttl: float) -> StopRequest | None:
        with self._memory_lock:
            return self._asked.get(job.job_id)

    def _reconnect(self) -> None:
        self._memory_lock = threading.Lock()
