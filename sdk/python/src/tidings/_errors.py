"""How errors of the agent are told: their text, their kind, and which are the same."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from ._snapshot import type_name

if TYPE_CHECKING:
    from .runs import _Run

_ABORTED: Final = (asyncio.CancelledError, concurrent.futures.CancelledError, GeneratorExit, KeyboardInterrupt)
_TIMEOUT: Final = (TimeoutError, asyncio.TimeoutError, concurrent.futures.TimeoutError)
_PLAIN: Final = (Exception, BaseException)  # names that say nothing


class StopRequested(Exception):
    """The job was asked to stop.

    Raised by `Handler.raise_if_cancelled`, and told as `cancelled` if it ends
    the job.
    """

    def __init__(self, by: str = "", reason: str = "") -> None:
        self.by = by
        self.reason = reason
        text = "the job was asked to stop"
        if by:
            text += f" by {by}"
        if reason:
            text += f": {reason}"
        super().__init__(text)


def error_text(error: BaseException) -> str:
    """Give the error's text, or its class's name if it has none; never raises."""
    try:
        return str(error) or type_name(error)
    except Exception:
        return f"a {type_name(error)} whose text can't be had"


def error_kind(error: BaseException) -> str:
    """Sort errors into those that a reader would tell apart.

    An error can say its kind itself by an attribute `error_kind`; otherwise it
    is `aborted`, `timeout`, or the name of its class.
    """
    try:
        for link in chain(error):
            named = getattr(link, "error_kind", None)
            if isinstance(named, str) and named:
                return named
        for link in chain(error):
            if isinstance(link, (StopRequested, *_ABORTED)):
                return "aborted"
            if isinstance(link, _TIMEOUT):
                return "timeout"
    except Exception:  # of the error's own attributes
        pass
    return "" if type(error) in _PLAIN else type_name(error)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Give the error and those that it was raised from, outermost first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen and len(seen) < 32:
        seen.add(id(link))
        yield link
        try:
            link = link.__cause__
        except Exception:  # of an error that does not like to be looked at
            return


def stop_request(error: BaseException) -> StopRequested | None:
    """Give the request to stop that the error comes of, if it says so."""
    for link in chain(error):
        if isinstance(link, StopRequested):
            return link
    return None


Link = tuple[int, type, str]
"""What is kept of an error to know it again: neither it nor the frames that it holds."""


def links(error: BaseException) -> list[Link]:
    """Give what is kept of the error and of those that it was raised from."""
    return [(id(link), type(link), error_text(link)) for link in chain(error)]


class Failure:
    """What is told of an error, taken at once."""

    __slots__ = ("kind", "links", "stop", "text")

    def __init__(self, error: BaseException) -> None:
        self.links = links(error)
        self.text = self.links[0][2]
        self.kind = error_kind(error)
        self.stop = stop_request(error)

    def broken_off(self) -> bool:
        """Say whether work was broken off, also if an error that crossed a framework says so only in words."""
        return self.kind == "aborted" or "CancelledError" in self.text


class Report(NamedTuple):
    """An error whose text was published, and by which run; None is the job itself."""

    link: Link
    run: _Run | None

    def tells_of(self, failure: Failure) -> bool:
        """Say whether the error is this one, was raised from it, or has its text in its own.

        The text alone is what is left of an error that crossed a framework.
        """
        return self.link[2] in failure.text or self.link in failure.links
