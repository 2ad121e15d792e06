"""The threads that send. A few serve any number of jobs."""

from __future__ import annotations

import heapq
import itertools
import logging
import sys
import threading
import time
from typing import Final, Protocol

log = logging.getLogger("tidings")


_HOT: Final = 0.05
_PAUSE: Final = 0.002
"""Work that was asked for in the last 50 ms is looked at every 2 ms: waking a
thread would cost who asks for it more than all else that he does."""


class Work(Protocol):
    """Something with work to do from time to time."""

    due: float | None
    busy: bool
    woken: float

    def step(self) -> float | None:
        """Do what is due, and say when to come again by the monotonic clock."""


class Workers:
    """Calls `step` of each piece of work when it is due, never twice at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.reset()

    def reset(self) -> None:
        """Begin anew, as in a forked child, where the threads are gone."""
        self._changed = threading.Condition(threading.RLock())
        self._heap: list[tuple[float, int, Work]] = []
        self._count = itertools.count()
        self._idle = 0
        self._threads = 0
        self._closed = False

    def wake(self, work: Work, at: float) -> None:
        """Have it called at about that time at the latest. Costs little if it will be anyway."""
        work.woken = at
        if work.due is not None and work.due <= at + _PAUSE:
            return
        with self._changed:
            if work.due is not None and work.due <= at:
                return
            work.due = at
            if work.busy:
                return  # looked at when it comes back
            self._push(work, at)

    def _push(self, work: Work, at: float) -> None:
        heapq.heappush(self._heap, (at, next(self._count), work))
        if self._idle:
            self._changed.notify()
        elif self._threads < self._limit and not self._closed:
            self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="tidings-sender", daemon=True)
        self._threads += 1
        try:
            thread.start()
        except RuntimeError:  # the interpreter is about to end
            self._threads -= 1

    def _run(self) -> None:
        while self._once(None):
            pass

    def help(self, until: float) -> None:
        """Work on the caller's thread, if there is no other: threads can't be
        started any more when the interpreter ends."""
        if self._threads == 0:
            self._once(until)

    def _once(self, until: float | None) -> bool:
        """Wait for a piece of work and do it; False: closed, or `until` has come."""
        work = self._take(until)
        if work is None:
            return False
        again: float | None = None
        try:
            again = work.step()
        except Exception:  # a fault of ours must not end the agent's process
            log.exception("tidings: the sender failed; it goes on in a second")
            again = time.monotonic() + 1
        with self._changed:
            work.busy = False
            now = time.monotonic()
            hot = now + _PAUSE if now - work.woken < _HOT else None
            wanted = [at for at in (again, work.due, hot) if at is not None]
            work.due = min(wanted) if wanted else None
            if work.due is not None:
                self._push(work, work.due)
        return True

    def _take(self, until: float | None) -> Work | None:
        with self._changed:
            while True:
                now = time.monotonic()
                while self._heap and (self._heap[0][2].busy or self._heap[0][2].due != self._heap[0][0]):
                    heapq.heappop(self._heap)  # it was asked for at another time since
                if self._heap and self._heap[0][0] <= now:
                    work = heapq.heappop(self._heap)[2]
                    work.busy, work.due = True, None
                    return work
                if self._closed:
                    self._threads -= 1 if until is None else 0
                    return None
                ends = [at for at in (until, self._heap[0][0] if self._heap else None) if at is not None]
                if until is not None and until <= now:
                    return None
                self._idle += 1
                try:
                    self._changed.wait(min(ends) - now if ends else None)
                finally:
                    self._idle -= 1

    def close(self) -> None:
        """Let the threads end, once nothing is due."""
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify_all()


def at_process_exit(action: object) -> None:
    """Have `action` called when this process ends as a child of a process pool,
    which knows no atexit."""
    for name in ("multiprocessing.util", "billiard.util"):
        module = sys.modules.get(name)
        if module is not None:
            try:
                module.Finalize(None, action, exitpriority=10)
            except Exception:
                log.debug("tidings: %s takes no finalizer", name, exc_info=True)
