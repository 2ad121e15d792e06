"""The writing side: what every publisher has in common.

A `Publisher` knows where events go: `tidings.http.HTTPPublisher`,
`tidings.redis.RedisStreamPublisher`, `tidings.memory.MemoryPublisher`. A
`JobPublisher`, which `Publisher.open_job` gives, is the place of one job in it:
its queue, its producer (id, epoch, sequence), its lease, and what comes back:
that the job was asked to stop, or was taken over.

    job = publisher.open_job("job-42")
    job.emit("custom", '{"name":"hello","value":1}')
    if job.cancelled.is_set():
        ...
    job.close()

What an agent calls only enqueues: it never raises, never waits for a network,
and may be called in any thread, with or without a running event loop, and in
forked children. Only `flush`, `close` and the waiting for a stop wait.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime

from . import _producer
from ._job import JobPublisher
from ._producer import (
    DEFAULT_PRODUCER_ID,
    LEASE_TTL,
    Producer,
    Receipt,
    Stats,
    StopRequest,
    check_job_id,
    is_terminal,
    next_epoch,
)
from ._queue import Event
from ._workers import Workers, at_process_exit
from .errors import FencedError, InvalidError

__all__ = [
    "DEFAULT_PRODUCER_ID",
    "LEASE_TTL",
    "JobPublisher",
    "Producer",
    "Publisher",
    "Receipt",
    "Stats",
    "StopRequest",
    "check_job_id",
    "is_terminal",
    "next_epoch",
]

log = logging.getLogger("tidings")


class Publisher(ABC):
    """Where events go. It is made once in a program and shared by all jobs.

    `queue_bytes` bounds the memory of each job's events that are not
    acknowledged; what does not fit is dropped, counted, and told by a `custom`
    event `tidings.dropped` at its place. `coalesce` is how many seconds the deltas
    of a stream are gathered. `cancel_poll` is how often, in seconds, it is looked
    whether a job was asked to stop. `workers` is how many threads send at most.
    `exit_timeout` is how long the end of the program waits until all is sent.
    """

    def __init__(
        self,
        *,
        queue_bytes: int = 8 << 20,
        coalesce: float = 0.025,
        cancel_poll: float = 2.0,
        workers: int = 4,
        exit_timeout: float = 5.0,
    ) -> None:
        self._queue_bytes = queue_bytes
        self._coalesce = coalesce
        self._cancel_poll = cancel_poll
        self._exit_timeout = exit_timeout
        self._jobs_lock = threading.RLock()
        self._jobs: dict[tuple[str, str], JobPublisher] = {}
        self._past = Stats()  # of jobs that are over
        self._workers = Workers(workers)
        self._closed = False
        self._pid = os.getpid()
        self._exit_hook_of = 0
        _publishers.add(self)

    # --- what a program calls ---

    def open_job(
        self,
        job_id: str,
        *,
        epoch: int | None = None,
        producer_id: str = DEFAULT_PRODUCER_ID,
        heartbeat: float | None = 10.0,
    ) -> JobPublisher:
        """Begin to publish a job, or share what is open for it already.

        A higher `epoch`, as the attempt of a task queue, takes the job over and
        fences earlier writers off; without one it is the time. `heartbeat` is the
        pause between signs of life in seconds; None: the job has no lease, and it
        is not noticed that it is asked to stop. It never raises: a job that can't
        be published is logged, and its events are dropped as strays.
        """
        return self._open(job_id, epoch, producer_id, heartbeat, passing=False)

    def _open(
        self, job_id: str, epoch: int | None, producer_id: str, heartbeat: float | None, passing: bool
    ) -> JobPublisher:
        with self._jobs_lock:
            key = (str(job_id), producer_id)
            old = self._jobs.get(key)
            if old is not None and (epoch is None or epoch <= old.epoch) and old._share(heartbeat, passing):
                return old
            job = JobPublisher(self, str(job_id), producer_id, epoch, heartbeat)
            job.passing = passing
            self._jobs[key] = job
        if old is not None and old._queue.takes():
            old._refuse(FencedError(f"epoch {job.epoch} of this process has taken over", job.epoch))
        try:
            check_job_id(job_id)
            if self._closed:
                raise InvalidError("the publisher is closed")
        except InvalidError as error:
            job._refuse(error)
        return job

    def emit(
        self, job_id: str, event_type: str, data: str | bytes, timestamp: datetime | None = None
    ) -> None:
        """Put an event of a job into its queue. `data` is JSON text. A job that
        is not open is published without a lease."""
        try:
            with self._jobs_lock:
                job = self._jobs.get((job_id, DEFAULT_PRODUCER_ID))
            if job is None or not job._takes():
                job = self._open(job_id, None, DEFAULT_PRODUCER_ID, None, passing=True)
            job.emit(event_type, data, timestamp)
        except Exception:
            log.exception("tidings: an event is lost")

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything put before is stored or given up, and say whether
        it is stored."""
        deadline = time.monotonic() + timeout
        return all([job._flush(deadline) for job in self._open_jobs()])

    async def aflush(self, timeout: float = 10.0) -> bool:
        """Do as `flush` does, without blocking the event loop."""
        return await asyncio.to_thread(self.flush, timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Send what is queued for so many seconds at most, drop the rest, and end
        the threads. It says whether everything is stored. The program's end does
        this by itself."""
        if self._closed:
            return True
        self._closed = True
        deadline = time.monotonic() + timeout
        jobs = self._open_jobs()
        for job in jobs:
            with job._lock:
                job._queue.closed = True
            self._wake(job, time.monotonic())
        done = all([job._flush(deadline) for job in jobs])
        lost = sum(job._abandon() for job in jobs)
        if lost:
            log.error("tidings: %d events could not be sent and are lost", lost)
        self._workers.close()
        try:
            self._disconnect()
        except Exception:
            log.debug("tidings: closing the connection failed", exc_info=True)
        return done and not lost

    async def aclose(self, timeout: float = 10.0) -> bool:
        """Do as `close` does, without blocking the event loop."""
        return await asyncio.to_thread(self.close, timeout)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def stats(self) -> Stats:
        """The counters of all jobs together."""
        total = Stats()
        with self._jobs_lock:
            total.add(self._past)
            jobs = list(self._jobs.values())
        for job in jobs:
            total.add(job.stats)
        return total

    # --- for JobPublisher ---

    def _open_jobs(self) -> list[JobPublisher]:
        with self._jobs_lock:
            return list(self._jobs.values())

    def _wake(self, job: JobPublisher, at: float) -> None:
        if self._exit_hook_of != self._pid:
            self._exit_hook_of = self._pid
            at_process_exit(_close_all)
        self._workers.wake(job, at)

    def _has_threads(self) -> bool:
        return self._workers._threads > 0

    def _help(self, until: float) -> None:
        self._workers.help(until)

    def _forget(self, job: JobPublisher) -> None:
        told = job.stats
        with self._jobs_lock:
            for key in ((job.job_id, job.producer_id), (job.job_id, DEFAULT_PRODUCER_ID)):
                if self._jobs.get(key) is job:
                    del self._jobs[key]
            self._past.add(told)

    def _after_fork(self) -> None:
        jobs = list(self._jobs.values())
        self._jobs_lock = threading.RLock()
        self._pid = os.getpid()
        self._past = Stats()
        self._workers.reset()
        self._reconnect()
        self._jobs = {}
        for job in jobs:
            job._after_fork()
            self._jobs[job.job_id, DEFAULT_PRODUCER_ID] = job

    # --- what a publisher of a kind has to do, each on a worker's thread ---

    @abstractmethod
    def _append(self, job: JobPublisher, producer: Producer, events: Sequence[Event]) -> Receipt:
        """Append a batch, by the rules of the producer's sequence; raise an error of
        `tidings.errors` that says what became of it, or any other if that is unknown."""

    @abstractmethod
    def _heartbeat(self, job: JobPublisher, producer: Producer, ttl: float) -> StopRequest | None:
        """Renew the lease, and say whether the job was asked to stop."""

    def _poll(self, job: JobPublisher, producer: Producer) -> StopRequest | None:
        """Say whether the job was asked to stop; called between signs of life."""
        return self._heartbeat(job, producer, max(LEASE_TTL, 3 * (job.heartbeat or 0.0)))

    def _reconnect(self) -> None:
        """Use no connection of the parent any more: this is a forked child."""

    def _disconnect(self) -> None:
        """Close the connections."""


# --- the ends of processes ---

_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()


def _close_all() -> None:
    for publisher in list(_publishers):
        publisher.close(publisher._exit_timeout)


def _after_fork() -> None:
    _producer.after_fork()
    for publisher in list(_publishers):
        publisher._after_fork()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
