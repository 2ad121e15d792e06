"""The words of the writing side: who writes, and what comes of it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from json import loads
from typing import Final, NamedTuple

from .errors import InvalidError

DEFAULT_PRODUCER_ID: Final = "callback"
"""What all publishers are named that name themselves nothing, in every language:
a later start of a job takes over from an earlier one."""

LEASE_TTL: Final = 30.0
"""Seconds that one sign of life holds; three times as long as the pause between them."""


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


def after_fork() -> None:
    """Have locks of its own in a forked child."""
    global _epoch_lock
    _epoch_lock = threading.Lock()


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
