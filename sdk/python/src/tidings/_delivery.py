"""How the events of one job get into the store: in order, each once."""

from __future__ import annotations

import logging
import random
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from ._producer import Producer, next_epoch
from ._queue import Event, Queue
from .errors import (
    ClosedError,
    FencedError,
    InvalidError,
    SequenceError,
    TidingsError,
    TooLargeError,
)

if TYPE_CHECKING:
    from ._job import JobPublisher
    from .publisher import Publisher

log = logging.getLogger("tidings")

_MAX_SEQ: Final = (1 << 53) - 1
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0

FORGET_AFTER: Final = 60.0
"""Seconds after which a job that nobody opened is forgotten."""


class Delivery(ABC):
    """Sends batches, one after another, each under its own sequence and repeated as
    it is until the store says what became of it."""

    job_id: str
    producer_id: str
    epoch: int
    _owner: Publisher
    _own_epoch: bool  # the epoch was not given, so a higher one may be taken
    passing: bool  # nobody opened it: it is published event by event
    woken: float  # when it had something to do last, by the monotonic clock

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
        self._stopped: TidingsError | None = None

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
            receipt = self._owner._append(self._me(), Producer(self.producer_id, self.epoch, self._seq), self._batch)
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
        if not ended or isinstance(error, InvalidError):
            log.warning("tidings: the store takes no more events of job %s: %s", self.job_id, error)
        self._refused(error)
        self._leave()

    def _next(self, now: float) -> float | None:
        with self._lock:
            q = self._queue
            idle = not self._batch and not self._singles and not q.items
            if idle and (q.ended or q.closed or self._forgotten(now)):
                q.closed = True
                due = None
            else:
                due = self._due(now)
        if due is None and q.closed:
            self._leave()  # which is for other locks
        return due

    def _due(self, now: float) -> float | None:
        with self._lock:
            q = self._queue
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
            if self.passing:
                due.append(self.woken + FORGET_AFTER)
            return min(due) if due else None

    def _forgotten(self, now: float) -> bool:
        """Say whether a job that nobody opened has been quiet long enough to forget it:
        its next event begins anew, in a higher epoch."""
        return self.passing and now - self.woken >= FORGET_AFTER

    def _leave(self) -> None:
        """Be over: everything is sent, or nothing more will be taken."""
        with self._lock:
            if self._gone:
                return
            self._gone = True
            self._progress.notify_all()
        self._left()
        self._owner._forget(self._me())

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

    # --- what a job adds ---

    @abstractmethod
    def _me(self) -> JobPublisher:
        """Give the job."""

    @abstractmethod
    def _live(self, now: float) -> None:
        """Send a sign of life, if it is time."""

    @abstractmethod
    def _watching(self) -> bool:
        """Say whether signs of life are to be sent."""

    @abstractmethod
    def _refused(self, error: TidingsError) -> None:
        """Tell who wants to know that nothing more is taken."""

    @abstractmethod
    def _left(self) -> None:
        """Tell who waits that the job is over."""


def _written(item: Any) -> Event | None:
    """Write what waited as an event; None if the hook of a delta fails."""
    try:
        event: Event = item.event()
    except Exception:
        log.exception("tidings: a piece of a stream is lost")
        return None
    return event
