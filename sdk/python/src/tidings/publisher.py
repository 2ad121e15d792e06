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
import random
import secrets
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps, loads
from typing import Any, Final, NamedTuple

from ._queue import Event, Queue, Rest
from ._workers import Workers, at_process_exit
from .errors import (
    ClosedError,
    FencedError,
    InvalidError,
    SequenceError,
    TidingsError,
    TooLargeError,
)

log = logging.getLogger("tidings")

DEFAULT_PRODUCER_ID: Final = "callback"
"""What all publishers are named that name themselves nothing, in every language:
a later start of a job takes over from an earlier one."""

LEASE_TTL: Final = 30.0
"""Seconds that one sign of life holds; three times as long as the pause between them."""

_MAX_SEQ: Final = (1 << 53) - 1
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0


class StopRequest(NamedTuple):
    """That a job was asked to stop: by whom, and why, as far as is known."""

    by: str = ""
    reason: str = ""


class Producer(NamedTuple):
    """Who writes: a higher epoch of the same ID takes over, and batches count
    from 0 in each epoch."""

    id: str
    epoch: int
    seq: int


@dataclass
class Receipt:
    """What a store says of an append that succeeded."""

    duplicate: bool = False


@dataclass
class Stats:
    """Counters of a publisher, or of one job of it. All count events but for
    `queued_bytes`, and `retried`, which counts tries of a batch after the first."""

    queued: int = 0
    queued_bytes: int = 0
    sent: int = 0
    dropped: int = 0
    retried: int = 0
    strays: int = 0

    def add(self, other: Stats) -> None:
        """Add the counters of another."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


_last_epoch = 0
_epoch_lock = threading.Lock()


def next_epoch() -> int:
    """Give the Unix time in milliseconds, but never the same twice."""
    global _last_epoch
    with _epoch_lock:
        _last_epoch = max(time.time_ns() // 1_000_000, _last_epoch + 1)
        return _last_epoch


def is_terminal(event_type: str, data: str) -> bool:
    """Say whether such an event ends its job: done, cancelled, or a fatal error."""
    if event_type in ("done", "cancelled"):
        return True
    if event_type != "error" or "fatal" not in data:
        return False
    try:
        told = loads(data)
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("fatal") is True


def check_job_id(job_id: str) -> None:
    """Raise `InvalidError` if that can't be the ID of a job."""
    bad = not isinstance(job_id, str) or not job_id or job_id in (".", "..", "/")
    if bad or any(c in "{}" or ord(c) < 32 or ord(c) == 127 for c in job_id):
        raise InvalidError(f"{job_id!r} can't be a job ID: it has 1 to 255 bytes without braces and control characters")
    if len(job_id.encode("utf-8", "replace")) > 255:
        raise InvalidError(f"the job ID is {len(job_id)} characters long; at most 255 bytes")


class JobPublisher:
    """Publishes one job. `Publisher.open_job` makes it; see the module's text.

    Events are sent in order and, by the producer's sequence, exactly once, also
    when the server was away or an answer was lost.
    """

    def __init__(
        self, owner: Publisher, job_id: str, producer_id: str, epoch: int | None, heartbeat: float | None
    ) -> None:
        self.job_id: Final = job_id
        self.producer_id = producer_id
        self.epoch = next_epoch() if epoch is None else epoch
        self.cancelled: Final = threading.Event()
        """Set when the job was asked to stop."""
        self.heartbeat = heartbeat
        self.memo: Any = None  # of the publisher that sends, about this job
        self.due: float | None = None  # of Workers
        self.busy = False
        self.woken = 0.0
        self._owner = owner
        self._own_epoch = epoch is None
        self._refs = 1
        self._opened = 1  # times it was opened
        self._hold = False
        self._held: tuple[str, str, int] | None = None  # the terminal event that is held back
        self._stop_request: StopRequest | None = None
        self._stopped: TidingsError | None = None
        self._on_cancel: list[Callable[[StopRequest], object]] = []
        self._on_stop: list[Callable[[TidingsError], object]] = []
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._begin()

    def _begin(self) -> None:
        # A finalizer may call back while a method of ours runs on its thread.
        self._lock = threading.RLock()
        self._progress = threading.Condition(self._lock)
        self._queue = Queue(self._owner._queue_bytes, self._owner._coalesce)
        self._seq = 0
        self._fresh = True  # nothing was sent yet, so nothing can be a duplicate
        self._acked = False
        self._batch: list[Event] = []  # formed and not acknowledged
        self._batch_bytes = 0
        self._singles: list[Event] = []  # of a batch that was refused as a whole, the last first
        self._tries = 0
        self._pause = 0.0
        self._retry_at: float | None = None
        self._beat_at = 0.0
        self._poll_at = 0.0
        self._sent = 0
        self._retried = 0
        self._gone = False

    def _after_fork(self) -> None:
        """Become a writer of its own in a forked child: what is queued is the
        parent's to send, and neither may fence the other off."""
        self._begin()
        self.producer_id = f"{self.producer_id[:200]}.{secrets.token_hex(4)}"
        self.epoch, self._own_epoch = next_epoch(), True
        self.due, self.busy, self.memo = None, False, None
        self._waiters.clear()

    # --- what an agent calls ---

    def emit(
        self, event_type: str, data: str | bytes, timestamp: datetime | None = None, *, terminal: bool | None = None
    ) -> None:
        """Put an event into the queue. `data` is JSON text. `terminal` says that
        it ends the job; not given, it is seen from type and data."""
        try:
            text = data if isinstance(data, str) else data.decode("utf-8", "replace")
            at = time.time_ns() if timestamp is None else int(timestamp.timestamp() * 1_000_000) * 1000
            ends = is_terminal(event_type, text) if terminal is None else terminal
            with self._lock:
                if ends and self._hold:
                    self._keep_back(event_type, text, at)
                    return
                self._queue.put_event(event_type, text, at, ends)
            self._wake()
        except Exception:
            log.exception("tidings: an event of job %s is lost", self.job_id)

    def emit_delta(self, stream: object, channel: str, text: str, rest: Rest = "") -> None:
        """Put a piece of a stream of text into the queue. Pieces of one `stream`
        and `channel` that come close together become one `thought` event. `rest`
        is the JSON members, without braces, that its data has besides `status`,
        `channel` and `delta`; or a function that makes the whole data of the
        channel and the joined text, and is called on the sender's thread."""
        try:
            with self._lock:
                self._queue.put_delta(stream, channel, text, rest)
            self._wake()
        except Exception:
            log.exception("tidings: a piece of a stream of job %s is lost", self.job_id)

    @property
    def shared(self) -> bool:
        """Whether it was opened more than once, as by a task and the handler in it."""
        return self._opened > 1

    def hold_end(self) -> None:
        """Keep the terminal event back from now on, until `release_end`: for a task
        queue, which knows only when the task is over whether it will run again."""
        self._hold = True

    def release_end(self) -> bool:
        """Put the terminal event that was kept back, and say whether there was one."""
        self._hold = False
        held = self._take_held()
        if held is not None:
            with self._lock:
                self._queue.put_event(*held, True)
            self._wake()
        return held is not None

    def soften_end(self) -> None:
        """Take what was kept back for no end, as the job will be tried again: a fatal
        error is told as one that is not, anything else not at all."""
        held = self._take_held()
        if held is not None and held[0] == "error":
            told = {**loads(held[1]), "fatal": False}
            data = dumps(told, ensure_ascii=False, separators=(",", ":"))
            with self._lock:
                self._queue.put_event("error", data, held[2], False)
            self._wake()

    def forget_end(self) -> None:
        """Forget what was kept back, and keep back nothing more."""
        self._hold = False
        self._take_held()

    def _take_held(self) -> tuple[str, str, int] | None:
        with self._lock:
            held, self._held = self._held, None
            return held

    def _keep_back(self, event_type: str, data: str, at: int) -> None:
        if self._held is None:
            self._held = (event_type, data, at)
        else:
            self._queue.strays += 1

    def _wake(self) -> None:
        if self._retry_at is not None or self._gone:
            return  # it comes by itself, or not at all
        with self._lock:
            at = self._queue.due(time.monotonic())
        if at is not None:
            self._owner._wake(self, at)

    @property
    def stop_request(self) -> StopRequest | None:
        """Who asked the job to stop, and why; None if nobody did."""
        return self._stop_request

    @property
    def stopped(self) -> TidingsError | None:
        """Why the store takes nothing more of this publisher: `FencedError` (the
        job was taken over), `ClosedError` (it has ended), `InvalidError` (the
        job ID can't be one); None while it does."""
        return self._stopped

    def on_cancel(self, callback: Callable[[StopRequest], object]) -> None:
        """Have `callback` called, in another thread, when the job is asked to
        stop; at once, if it was."""
        with self._lock:
            asked = self._stop_request
            if asked is None:
                self._on_cancel.append(callback)
                return
        _call(callback, asked)

    def on_stop(self, callback: Callable[[TidingsError], object]) -> None:
        """Have `callback` called, in another thread, when `stopped` becomes known;
        at once, if it is."""
        with self._lock:
            reason = self._stopped
            if reason is None:
                self._on_stop.append(callback)
                return
        _call(callback, reason)

    async def wait_cancelled(self) -> StopRequest | None:
        """Wait until the job is asked to stop. None: it was taken over, or has ended."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._stop_request is not None or self._stopped is not None or self._gone:
                return self._stop_request
            self._waiters.append((loop, future))
        await future
        return self._stop_request

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything put before is stored or given up, and say whether
        it is stored. It waits for a network: `aflush` is for event loops."""
        return self._flush(time.monotonic() + timeout)

    async def aflush(self, timeout: float = 10.0) -> bool:
        """Do as `flush` does, without blocking the event loop."""
        return await asyncio.to_thread(self.flush, timeout)

    def close(self, timeout: float = 0.0) -> bool:
        """Say that nothing more will come: signs of life end, and what is queued
        is sent in the background. With a `timeout` it waits for that, and says
        whether everything is stored. It does not end the job: a terminal event does.

        A job that was opened several times is closed by the last closing.
        """
        deadline = time.monotonic() + timeout
        with self._lock:
            self._refs -= 1
            last = self._refs <= 0
            if last:
                self._queue.closed = True
        if last:
            self._owner._wake(self, time.monotonic())
        return self._flush(deadline)

    async def aclose(self, timeout: float = 0.0) -> bool:
        """Do as `close` does, without blocking the event loop."""
        return await asyncio.to_thread(self.close, timeout)

    @property
    def stats(self) -> Stats:
        """The counters of this job."""
        with self._lock:
            q = self._queue
            return Stats(q.put - q.settled, q.bytes, self._sent, q.dropped, self._retried, q.strays)

    # --- waiting ---

    def _flush(self, deadline: float) -> bool:
        try:
            with self._lock:
                lost = self._queue.dropped + self._queue.strays
                target = self._queue.put
                self._queue.urgent += 1
            try:
                self._wake()
                done = self._await(target, deadline)
            finally:
                with self._lock:
                    self._queue.urgent -= 1
            return done and self._queue.dropped + self._queue.strays == lost and self._stopped is None
        except Exception:
            log.exception("tidings: flushing job %s failed", self.job_id)
            return False

    def _await(self, target: int, deadline: float) -> bool:
        while True:
            with self._lock:
                if self._queue.settled >= target:
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                if self._owner._has_threads():
                    self._progress.wait(left)
                    continue
            self._owner._help(min(deadline, time.monotonic() + 0.1))

    # --- sending: called by one worker at a time ---

    def step(self) -> float | None:
        """Send a batch, or a sign of life, and say when to come again."""
        now = time.monotonic()
        if self._gone:
            return None
        if self._retry_at is None or self._retry_at <= now:
            if self._form(now):
                self._try()
        self._live(time.monotonic())
        return self._next(time.monotonic())

    def _form(self, now: float) -> bool:
        with self._lock:
            if self._batch:
                return True
            if self._singles:
                self._batch = [self._singles.pop()]
                return True
            at = self._queue.due(now)
            if at is None or at > now:
                return False
            items, size = self._queue.pop(now)
        batch = [event for event in map(_written, items) if event is not None]  # without the lock: it takes long
        with self._lock:
            self._batch, self._batch_bytes = batch, size
            lost = len(items) - len(batch)
            self._queue.dropped += lost
            self._queue.settled += lost
            return bool(batch)

    def _try(self) -> None:
        """Append the batch once, and judge what came of it."""
        try:
            receipt = self._owner._append(self, Producer(self.producer_id, self.epoch, self._seq), self._batch)
        except (InvalidError, TooLargeError) as error:
            self._unfit(error)
        except SequenceError as error:
            self._renumber(error)
            self._again()
        except (ClosedError, FencedError) as error:
            self._refuse(error)
        except Exception as error:
            self._warn(error)
            self._again(getattr(error, "retry_after", 0.0))
        else:
            if receipt.duplicate and self._fresh and self._tries == 0:
                self._follow()
            else:
                self._written()

    def _written(self) -> None:
        if self._tries:
            log.info("tidings: the store is back (job %s, after %d tries)", self.job_id, self._tries + 1)
        with self._lock:
            self._sent += len(self._batch)
            self._seq += 1
            self._fresh, self._acked = False, True
            self._settle()

    def _settle(self) -> None:
        """Forget the batch."""
        self._queue.settled += len(self._batch)
        if not self._singles:
            self._queue.bytes -= self._batch_bytes
            self._batch_bytes = 0
        self._batch = []
        self._tries, self._pause, self._retry_at = 0, 0.0, None
        self._progress.notify_all()

    def _again(self, at_least: float = 0.0) -> None:
        """Come again later: pauses double, each shortened by up to half at random."""
        self._tries += 1
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        with self._lock:
            self._retried += 1
            self._retry_at = time.monotonic() + max(at_least, self._pause * random.uniform(0.5, 1))

    def _warn(self, error: Exception) -> None:
        """Log the first failure of a batch, and from then on ever more seldom."""
        if self._tries & (self._tries + 1) == 0:
            log.warning("tidings: can't publish job %s; trying again: %s", self.job_id, error)

    def _unfit(self, error: Exception) -> None:
        """Send the events of a batch that was refused as a whole one by one, and
        drop those that are refused again."""
        with self._lock:
            if len(self._batch) > 1:
                self._singles = self._batch[::-1]
                self._batch = []
                return
            event = self._batch[0]
            self._queue.dropped += 1
            self._settle()
        log.error(
            "tidings: an event of job %s is refused and dropped (%s, %d bytes): %s",
            self.job_id, event.type, len(event.data), error,
        )  # fmt: skip

    def _follow(self) -> None:
        """Have the store say its count of this producer: the batch was taken for
        one of an earlier start with the same epoch, as a task has that its queue
        delivers again without counting."""
        log.warning(
            "tidings: epoch %d of job %s was used by an earlier start; going on behind it", self.epoch, self.job_id
        )
        self._seq = _MAX_SEQ

    def _renumber(self, error: SequenceError) -> None:
        """Take up the count of a store that lost its memory of this producer: in
        a higher epoch, which also fences off requests that are under way; or, if
        the epoch was given, in the same."""
        if self._seq != _MAX_SEQ:
            log.warning("tidings: the store has lost track of job %s; its last events may be lost", self.job_id)
        with self._lock:
            if self._own_epoch:
                self.epoch, self._seq = max(next_epoch(), self.epoch + 1), 0
            else:
                self._seq = error.expected
            self._fresh = False

    def _refuse(self, error: TidingsError) -> None:
        """Give up what is left: nobody will ever take it."""
        with self._lock:
            if self._stopped is not None:
                return
            self._stopped = error
            left = self._batch + self._singles
            self._queue.strays += len(left)
            self._queue.settled += len(left)
            self._queue.bytes -= self._batch_bytes
            self._batch, self._singles, self._batch_bytes = [], [], 0
            ended = self._queue.ended or self._queue.closed
            self._queue.refuse(error)
            callbacks, self._on_stop = self._on_stop, []
        if not ended or isinstance(error, InvalidError):
            log.warning("tidings: the store takes no more events of job %s: %s", self.job_id, error)
        for callback in callbacks:
            _call(callback, error)
        self._leave()

    # --- signs of life, and what comes back ---

    def _live(self, now: float) -> None:
        if not self._watching():
            return
        beats = self._beat_at <= now
        if not beats and self._poll_at > now:
            return
        try:
            if beats:
                self._beat_at = now + (self.heartbeat or 0.0)
                ttl = max(LEASE_TTL, 3 * (self.heartbeat or 0.0))
                asked = self._owner._heartbeat(self, Producer(self.producer_id, self.epoch, 0), ttl)
            else:
                asked = self._owner._poll(self, Producer(self.producer_id, self.epoch, 0))
            self._poll_at = now + self._owner._cancel_poll
        except (FencedError, ClosedError) as error:
            self._refuse(error)
        except Exception as error:  # a lost one is made up for by the next
            self._poll_at = now + self._owner._cancel_poll
            log.debug("tidings: a sign of life of job %s was lost: %s", self.job_id, error)
        else:
            if asked is not None:
                self._ask(asked)

    def _watching(self) -> bool:
        q = self._queue
        return bool(self.heartbeat) and self._acked and not q.ended and not q.closed and self._stopped is None

    def _ask(self, request: StopRequest) -> None:
        """Note that the job was asked to stop."""
        with self._lock:
            if self._stop_request is not None:
                return
            self._stop_request = request
            callbacks, self._on_cancel = self._on_cancel, []
        self.cancelled.set()
        self._release_waiters()
        for callback in callbacks:
            _call(callback, request)

    def _release_waiters(self) -> None:
        with self._lock:
            waiters, self._waiters = self._waiters, []
        for loop, future in waiters:
            try:
                loop.call_soon_threadsafe(_release, future)
            except RuntimeError:
                pass  # the loop has ended, and with it who waited

    def _next(self, now: float) -> float | None:
        with self._lock:
            q = self._queue
            if not self._batch and not self._singles and not q.items and (q.ended or q.closed):
                self._leave()
                return None
            due: list[float] = []
            if self._retry_at is not None:
                due.append(self._retry_at)
            elif self._batch or self._singles:
                due.append(now)
            else:
                at = q.due(now)
                if at is not None:
                    due.append(at)
            if self._watching():
                due.append(min(self._beat_at, self._poll_at))
            return min(due) if due else None

    def _leave(self) -> None:
        """Be over: everything is sent, or nothing more will be taken."""
        with self._lock:
            if self._gone:
                return
            self._gone = True
            self._progress.notify_all()
        self._release_waiters()
        self._owner._forget(self)

    def _abandon(self) -> int:
        """Drop what is left, and say how many events that were."""
        with self._lock:
            left = self._batch + self._singles
            self._batch, self._singles = [], []
            self._queue.closed = True
            self._queue.dropped += len(left)
            self._queue.settled += len(left)
            lost = len(left) + self._queue.abandon()
        self._leave()
        return lost


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
        old: JobPublisher | None
        with self._jobs_lock:
            key = (str(job_id), producer_id)
            old = self._jobs.get(key)
            if old is not None and old._queue.takes() and (epoch is None or epoch <= old.epoch):
                old._refs += 1
                old._opened += 1
                if heartbeat and not old.heartbeat:
                    old.heartbeat = heartbeat
                    self._wake(old, time.monotonic())
                return old
            job = JobPublisher(self, str(job_id), producer_id, epoch, heartbeat)
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
            if job is None or not job._queue.takes():
                job = self.open_job(job_id, heartbeat=None)
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
        with self._jobs_lock:
            total = Stats()
            total.add(self._past)
            for job in self._jobs.values():
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
        with self._jobs_lock:
            key = (job.job_id, job.producer_id)
            if self._jobs.get(key) is job:
                del self._jobs[key]
            self._past.add(job.stats)

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


def _written(item: Any) -> Event | None:
    """Write what waited as an event; None if the hook of a delta fails."""
    try:
        event: Event = item.event()
    except Exception:
        log.exception("tidings: a piece of a stream is lost")
        return None
    return event


def _call(callback: Callable[[Any], object], value: object) -> None:
    try:
        callback(value)
    except Exception:
        log.exception("tidings: a callback failed")


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


# --- the ends of processes ---

_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()


def _close_all() -> None:
    for publisher in list(_publishers):
        publisher.close(publisher._exit_timeout)


def _after_fork() -> None:
    global _epoch_lock
    _epoch_lock = threading.Lock()
    for publisher in list(_publishers):
        publisher._after_fork()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
