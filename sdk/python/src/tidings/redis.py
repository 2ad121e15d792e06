"""Publishing straight to Redis, in the format that docs/redis.md fixes. Needs the
extra `tidings[redis]`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from json import dumps
from typing import Any, Final

from redis.exceptions import ResponseError

from ._entry import before, envelope, parse, place
from ._queue import Event
from ._redis import connections, response_error
from ._redis_follow import DEFAULT_PREFIX, afollow, follow
from ._scripts import APPEND, HEARTBEAT, Logs, new_tag
from .errors import ClosedError, FencedError, InvalidError, SequenceError, TidingsError, UnavailableError, UnknownJobError
from .publisher import JobPublisher, Producer, Publisher, Receipt, StopRequest, check_job_id, is_terminal

log = logging.getLogger("tidings")

__all__ = ["DEFAULT_PREFIX", "RedisStreamPublisher", "afollow", "follow"]

_ANNOUNCE_BYTES: Final = 128 << 10
_STEP: Final = 200


@dataclass
class _Place:
    """How far the log is looked at for a request to stop. What lies between the
    publisher's own batches is not its own."""

    incarnation: str = ""
    last: str = "0-0"
    unread: list[tuple[str, str]] = field(default_factory=list)  # after, up to


class RedisStreamPublisher(Publisher):
    """Publishes to Redis or Valkey without a server between.

    `client` is a client of redis-py, sync or asyncio, of one server, a group with
    Sentinels, or a Cluster; or the URL of one server. Its settings are used, not
    its connections. Give it timeouts: `socket_timeout` bounds what a hanging Redis
    can hold up. `prefix` is what the names of streams begin with.

    Redis has to allow scripts. Where it does not, `scripts=False` writes with plain
    XADD: then a batch whose answer was lost may be written twice, nobody is fenced
    off, and jobs have no lease. The other settings are those of `Publisher`.
    """

    def __init__(self, client: Any, *, prefix: str = DEFAULT_PREFIX, scripts: bool = True, **settings: Any) -> None:
        super().__init__(**{"cancel_poll": 1.0, **settings})
        if "{" in prefix or "}" in prefix:
            raise InvalidError(f"the prefix {prefix!r} may not contain braces: they would move keys to other slots")
        self._to = connections(client)
        self._logs = Logs(self._to, prefix)
        self._scripts = scripts
        self._announce: str | None = None  # the command

    def _append(self, job: JobPublisher, producer: Producer, events: Sequence[Event]) -> Receipt:
        written = [(e.type, e.timestamp, envelope(job.job_id, e)) for e in events]
        if not self._scripts:
            return self._append_plainly(job, written)
        keys = self._logs.keys
        ends = "1" if is_terminal(events[-1].type, events[-1].data) else "0"
        args: list[str | bytes | int] = [
            new_tag(), keys.channel(job.job_id), self._announcing(keys.stream(job.job_id)), _ANNOUNCE_BYTES, ends,
            producer.id, producer.epoch, producer.seq,
        ]  # fmt: skip
        for entry in written:
            args += entry
        reply = self._logs.run_adopting(APPEND, job.job_id, *args)
        match reply:
            case ["ok", incarnation, previous, *ids]:
                self._note(job, incarnation, previous, _last(ids, len(events)))
                return Receipt()
            case ["duplicate", *_]:
                return Receipt(duplicate=True)
            case ["fenced", current]:
                raise FencedError(f"epoch {current} has taken the job over; this is {producer.epoch}", int(current))
            case ["sequence", expected]:
                raise SequenceError(f"sequence {expected} is the next, not {producer.seq}", int(expected))
        raise UnavailableError(f"the append script gave an unknown answer: {reply[:1]}")

    def _announcing(self, key: str) -> str:
        """Give the command that announces appends: sharded where there is one."""
        if self._announce is None:
            try:
                known = self._to.call(key, "COMMAND", "INFO", "SPUBLISH")
                self._announce = "SPUBLISH" if known and known[0] else "PUBLISH"
            except ResponseError as error:
                log.info("tidings: events are not announced, viewers see them by polling: %s", error)
                self._announce = ""
        return self._announce

    def _append_plainly(self, job: JobPublisher, written: list[tuple[str, str, bytes]]) -> Receipt:
        stream = self._logs.keys.stream(job.job_id)
        try:
            for kind, timestamp, data in written:
                added = self._to.call(
                    stream, "XADD", stream, "*", "event_type", kind, "timestamp", timestamp, "data", data
                )
                if job.memo is None:
                    job.memo = _Place()
                own = added.decode()
                job.memo.unread.append((job.memo.last, f"({own}"))
                job.memo.last = own
        except ResponseError as error:
            raise response_error(error, stream) from error
        return Receipt()

    def _heartbeat(self, job: JobPublisher, producer: Producer, ttl: float) -> StopRequest | None:
        if self._scripts:
            ms = str(int(ttl * 1000))
            match self._logs.run_adopting(HEARTBEAT, job.job_id, new_tag(), ms, producer.id, producer.epoch):
                case ["fenced", current]:
                    raise FencedError(f"epoch {current} has taken the job over; this is {producer.epoch}", int(current))
                case ["ok", until]:
                    self._note_lease(job.job_id, until)
        return self._poll(job, producer)

    def _note_lease(self, job_id: str, until: str) -> None:
        """Bring the lease to where listings look; the job itself has it already."""
        key = self._logs.keys.leases(job_id)
        try:
            self._to.call(key, "HSET", key, job_id, until)
        except (TidingsError, ResponseError) as error:
            log.debug("tidings: a lease could not be noted for listings: %s", error)

    def _note(self, job: JobPublisher, incarnation: str, previous: str, last: str) -> None:
        """Note an own batch, and what lies before it unread."""
        at = job.memo
        if at is None or at.incarnation != incarnation:
            at = job.memo = _Place(incarnation)
        if before(at.last, previous):
            at.unread.append((at.last, previous))
        at.last = last

    def _poll(self, job: JobPublisher, producer: Producer) -> StopRequest | None:
        """Look for a request to stop in what others have written."""
        at = job.memo
        if at is None or job.stop_request is not None:
            return None
        while at.unread:
            after, to = at.unread[0]
            asked, last = self._search(job.job_id, after, to)
            if asked is not None:
                return asked
            if last is None:
                at.unread.pop(0)
            else:
                at.unread[0] = (last, to)
        while True:
            asked, last = self._search(job.job_id, at.last, "+")
            if last is not None:
                at.last = last
            if asked is not None or last is None:
                return asked

    def _search(self, job_id: str, after: str, to: str) -> tuple[StopRequest | None, str | None]:
        """Look at some entries; the last of them, or None if there were none."""
        entries = self._logs.entries(job_id, after, _STEP, to)
        for entry in entries:
            told = parse(entry)
            if told.type == "cancel_requested":
                data = told.data if isinstance(told.data, dict) else {}
                return StopRequest(str(data.get("by", "")), str(data.get("reason", ""))), told.id
        return None, parse(entries[-1]).id if entries else None

    def cancel(self, job_id: str, by: str = "", reason: str = "") -> None:
        """Ask the job to stop, as `tidings.cancel` does through a server. Raises
        `UnknownJobError`, `ClosedError` if it has ended, `UnavailableError`. It
        waits for the network. A job that was asked before is left as it is."""
        check_job_id(job_id)
        state = self._logs.look(job_id)
        if not state:
            raise UnknownJobError(f"there is no job {job_id}")
        if state[3]:
            raise ClosedError(f"job {job_id} has ended")
        at: str | None = "0-0"
        while at is not None:
            asked, at = self._search(job_id, at, "+")
            if asked is not None:
                return
        data = _json({k: v for k, v in (("reason", reason), ("by", by)) if v})
        writer = self.open_job(job_id, producer_id=f"cancel.{new_tag()}{new_tag()}", heartbeat=None)
        writer.emit("cancel_requested", data)
        if not writer.close(timeout=10):
            raise writer.stopped or UnavailableError("Redis did not take the request in time")

    def _reconnect(self) -> None:
        self._to.reset()

    def _disconnect(self) -> None:
        self._to.close()


def _json(value: object) -> str:
    return dumps(value, ensure_ascii=False, separators=(",", ":"))


def _last(ids: list[str], n: int) -> str:
    """Give the ID of the last of n events, where only the first may be told."""
    if len(ids) > 1:
        return ids[-1]
    ms, seq = place(ids[0])
    return f"{ms}-{seq + n - 1}"
