"""What can go wrong, as exceptions. Publishers keep these from the agent: they
are logged, and told by :attr:`JobSender.stopped`. ``follow`` and ``cancel``
raise them."""

from __future__ import annotations


class TidingsError(Exception):
    """Base of all errors of this package."""


class UnavailableError(TidingsError):
    """The store can't be reached, or says to come back. Trying again helps.

    ``retry_after`` is how many seconds it wants to be left alone."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InvalidError(TidingsError):
    """An input can't be accepted as it is."""


class TooLargeError(TidingsError):
    """An event or a batch is over a limit."""


class ClosedError(TidingsError):
    """The job has ended: its log takes no more events."""


class FencedError(TidingsError):
    """Another producer with a higher epoch has taken the job over. The worker
    was replaced and should stop. ``current`` is the epoch that counts now."""

    def __init__(self, message: str, current: int = 0) -> None:
        super().__init__(message)
        self.current = current


class SequenceError(TidingsError):
    """A batch is missing: ``expected`` is the sequence that would be taken."""

    def __init__(self, message: str, expected: int) -> None:
        super().__init__(message)
        self.expected = expected


class AuthError(TidingsError):
    """The server does not accept the token, or the token does not allow this."""


class UnknownJobError(TidingsError):
    """There is no such job, or it was deleted."""


class ProblemError(TidingsError):
    """Any other answer that is no success. ``status`` is that of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class GapError(TidingsError):
    """Events after the cursor were trimmed away. What is left goes on behind
    `cursor`; `first_id` is the first event still held."""

    def __init__(self, first_id: str, cursor: str) -> None:
        super().__init__(f"events before {first_id} were trimmed away; follow on after={cursor!r}")
        self.first_id = first_id
        self.cursor = cursor


class RewoundError(TidingsError):
    """The log is not the one of the cursor: the job was deleted and created again,
    or a failover lost its last events. Drop what you have and start over."""

    def __init__(self, last_id: str) -> None:
        super().__init__("the log is not the one of the cursor; drop what you have and follow from the start")
        self.last_id = last_id
        self.cursor = ""
