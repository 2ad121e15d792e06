"""The scripts that keep a log in Redis: copies of redislog/lua, for both sides must
run the same ones. A test compares them."""

from __future__ import annotations

import hashlib
import secrets
from importlib.resources import files
from typing import Any, Final

from redis.exceptions import NoScriptError, ResponseError

from ._entry import parse
from ._redis import Connections, response_error
from .errors import ClosedError, UnavailableError

_ADOPT_TRIES: Final = 16
_STEP: Final = 256


def _read(name: str) -> str:
    return (files("tidings") / "lua" / f"{name}.lua").read_text("utf-8")


class Script:
    """A script, sent by its digest and loaded where that is unknown."""

    def __init__(self, name: str) -> None:
        self.text = _read("log") + "\n" + _read(name) + "\n"
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


APPEND: Final = Script("append")
LOOK: Final = Script("look")
ADOPT: Final = Script("adopt")
HEARTBEAT: Final = Script("heartbeat")


class Keys:
    """The names of keys: a public contract, see docs/redis.md."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def stream(self, job_id: str) -> str:
        """The log."""
        return self.prefix + job_id

    def meta(self, job_id: str) -> str:
        """What scripts know of the log."""
        return f"{{{self.prefix}{job_id}}}:meta"

    def channel(self, job_id: str) -> str:
        """Where appends are announced."""
        return f"{{{self.prefix}{job_id}}}:live"

    def leases(self, job_id: str) -> str:
        """Where listings look for the ends of leases."""
        return f"{{tidings:{self.prefix.rstrip(':')}:{_fnv(job_id.encode()) % 4}}}:leases"


def _fnv(data: bytes) -> int:
    """Give the FNV-1a hash of 32 bits."""
    h = 0x811C9DC5
    for byte in data:
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    return h


def new_tag() -> str:
    """Give the random part of an incarnation."""
    return "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(4))


class Logs:
    """Runs the scripts on logs."""

    def __init__(self, to: Connections, prefix: str) -> None:
        self.to = to
        self.keys = Keys(prefix)

    def run(self, script: Script, job_id: str, *args: str | bytes | int) -> Any:
        """Run a script on a log. A server that does not know it yet has done
        nothing, so sending it again is no repetition."""
        stream = self.keys.stream(job_id)
        rest = (2, stream, self.keys.meta(job_id), *args)
        try:
            try:
                return self.to.call(stream, "EVALSHA", script.sha, *rest)
            except NoScriptError:
                return self.to.call(stream, "EVAL", script.text, *rest)
        except ResponseError as error:
            raise response_error(error, stream) from error

    def run_adopting(self, script: Script, job_id: str, *args: str | bytes | int) -> list[str]:
        """Run a script; where it asks for that, look first at what foreign
        publishers have written."""
        for _ in range(_ADOPT_TRIES):
            reply = [_text(part) for part in self.run(script, job_id, *args)]
            if reply[:1] == ["closed"]:
                raise ClosedError(f"the job has ended with event {reply[1]}")
            if reply[:1] != ["adopt"]:
                return reply
            self.adopt(job_id)
        raise UnavailableError(f"other publishers write to job {job_id} faster than their events can be looked at")

    def look(self, job_id: str) -> list[str]:
        """Give the log's state as look.lua does, brought up to what foreign
        publishers have written; nothing, if there is no log."""
        state: list[str] = []
        for _ in range(_ADOPT_TRIES):
            state = [_text(part) for part in self.run(LOOK, job_id, new_tag())]
            if not state or state[0] == "ok":
                return state
            self._adopt(job_id, state)
        return state  # a true prefix

    def adopt(self, job_id: str) -> None:
        """Take into account what foreign publishers have written."""
        self.look(job_id)

    def _adopt(self, job_id: str, state: list[str]) -> None:
        incarnation, last = state[1], state[2]
        while True:
            entries = [parse(e) for e in self.entries(job_id, last, _STEP)]
            n = next((i + 1 for i, e in enumerate(entries) if e.terminal), len(entries))
            if n == 0:
                return
            ends = entries[n - 1].terminal
            flag = "1" if ends else "0"
            noted = self.run(ADOPT, job_id, incarnation, last, entries[n - 1].id, n, flag)
            if not noted or ends or len(entries) < _STEP:
                return
            last = entries[-1].id

    def entries(self, job_id: str, after: str, count: int, to: str = "+") -> list[Any]:
        """Read entries behind an ID."""
        stream = self.keys.stream(job_id)
        try:
            found: list[Any] = self.to.call(stream, "XRANGE", stream, f"({after}", to, "COUNT", count)
        except ResponseError as error:
            raise response_error(error, stream) from error
        return found


def _text(part: Any) -> str:
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else str(part)
