"""One job of a publisher."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable
from datetime import datetime
from json import dumps, loads
from typing import TYPE_CHECKING, Any, Final

from ._delivery import Delivery
from ._producer import LEASE_TTL, Producer, Stats, StopRequest, is_terminal, next_epoch
from ._queue import Rest
from .errors import ClosedError, FencedError, InvalidError, TidingsError

if TYPE_CHECKING:
    from .publisher import Publisher

log = logging.getLogger("tidings")


class JobPublisher(Delivery):
    """Publishes one job. `Publisher.open_job` makes it; see the module's text.

    Events are sent in order and, by the producer's sequence, exactly once, also
    when the server was away or an answer was lost.
    """

    def __init__(
        self, owner: Publisher, job_id: str, producer_id: str, epoch: int | None, heartbeat: float | None
    ) -> None:
        self.job_id = job_id
        self.producer_id = producer_id
        self.epoch = next_epoch() if epoch is None else epoch
        self.cancelled: Final = threading.Event()
        """Set when the job was asked to stop."""
        self.heartbeat = heartbeat
        self.memo: Any = None  # of the publisher that sends, about this job
        self.due: float | None = None  # of Workers
        self.busy = False
        self.woken = 0.0
        self.passing = False
        self._owner = owner
        self._own_epoch = epoch is None
        self._refs = 1
        self._opened = 1  # times it was opened
        self._hold = False
        self._held: tuple[str, str, int] | None = None  # the terminal event that is held back
        self._stop_request: StopRequest | None = None
        self._on_cancel: list[Callable[[StopRequest], object]] = []
        self._on_stop: list[Callable[[TidingsError], object]] = []
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._begin()

    def _after_fork(self) -> None:
        """Become a writer of its own in a forked child: what is queued is the
        parent's to send, and neither may fence the other off."""
        self._begin()
        self.producer_id = f"{self.producer_id[:200]}.{secrets.token_hex(4)}"
        self.epoch, self._own_epoch = next_epoch(), True
        self.due, self.busy, self.memo = None, False, None
        self._waiters.clear()
        renew = getattr(self.cancelled, "_at_fork_reinit", None)
        if renew is not None:
            renew()

    def _share(self, heartbeat: float | None, passing: bool) -> bool:
        """Let one more use it, if it takes events still."""
        with self._lock:
            if not self._takes():
                return False
            if passing:
                return True
            self._refs += not self.passing
            self._opened += 1
            self.passing = False
            wake = bool(heartbeat) and not self.heartbeat
            if wake:
                self.heartbeat = heartbeat
        if wake:
            self._owner._wake(self, time.monotonic())
        return True

    def _takes(self) -> bool:
        """Say whether it takes events still, and see that it does a while longer."""
        with self._lock:
            self.woken = time.monotonic()
            return self._queue.takes()

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
            waiter = (loop, future)
            self._waiters.append(waiter)
        try:
            await future
        finally:
            with self._lock:
                if waiter in self._waiters:  # who waited has left
                    self._waiters.remove(waiter)
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
        self._left()
        for callback in callbacks:
            _call(callback, request)

    def _refused(self, error: TidingsError) -> None:
        with self._lock:
            callbacks, self._on_stop = self._on_stop, []
        for callback in callbacks:
            _call(callback, error)

    def _me(self) -> JobPublisher:
        return self

    def _left(self) -> None:
        with self._lock:
            waiters, self._waiters = self._waiters, []
        for loop, future in waiters:
            try:
                loop.call_soon_threadsafe(_release, future)
            except RuntimeError:
                pass  # the loop has ended, and with it who waited


def _call(callback: Callable[[Any], object], value: object) -> None:
    try:
        callback(value)
    except Exception:
        log.exception("tidings: a callback failed")


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
