"""Publish and follow the events of jobs.

    publisher = tidings.HTTPPublisher("http://127.0.0.1:8080")
    publisher.emit("job-42", "custom", '{"name":"hello","value":1}')

Agents are told of by `tidings.handler.Handler`, or `tidings.langchain` for
LangGraph and LangChain; Celery tasks by `tidings.celery`; `tidings.redis` writes
straight to Redis. Each of these names the extra that it needs.
"""

from __future__ import annotations

from ._cancel import acancel, astop_request, await_cancel, cancel, stop_request
from ._follow import AsyncFollower, Event, Follower, Notice, afollow, follow
from ._snapshot import RawJSON
from .errors import (
    AuthError,
    ClosedError,
    FencedError,
    GapError,
    InvalidError,
    ProblemError,
    RewoundError,
    SequenceError,
    TidingsError,
    TooLargeError,
    UnavailableError,
    UnknownJobError,
)
from .handler import Handler, StopRequested, start
from .http import HTTPPublisher
from .memory import MemoryPublisher
from .publisher import JobPublisher, Publisher, Stats, StopRequest
from .runs import ModelRun, Run, ToolRun

__version__ = "0.1.0"

__all__ = [
    "AsyncFollower",
    "AuthError",
    "ClosedError",
    "Event",
    "FencedError",
    "Follower",
    "GapError",
    "HTTPPublisher",
    "Handler",
    "InvalidError",
    "JobPublisher",
    "MemoryPublisher",
    "ModelRun",
    "Notice",
    "ProblemError",
    "Publisher",
    "RawJSON",
    "RewoundError",
    "Run",
    "SequenceError",
    "Stats",
    "StopRequest",
    "StopRequested",
    "TidingsError",
    "TooLargeError",
    "ToolRun",
    "UnavailableError",
    "UnknownJobError",
    "acancel",
    "afollow",
    "astop_request",
    "await_cancel",
    "cancel",
    "follow",
    "start",
    "stop_request",
]
