"""Plays the callback cases that all handlers pass, whatever language they are written in.

`testdata/callbacks/README.md` says what the members of a case mean.
"""

from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from tidings.handler import Clock, Handler, Timer
from tidings.publisher import Publisher
from tidings.runs import MISSING, ModelRun, Run, ToolRun

FOLDER = Path(__file__).parents[3] / "testdata" / "callbacks"
CASES = sorted(path.stem for path in FOLDER.glob("*.json"))

Event = dict[str, Any]


class VirtualClock(Clock):
    """Time that only moves when a case waits, so that every duration is exact."""

    def __init__(self) -> None:
        self.time = 0.0
        self.waiting: list[tuple[float, int, _Timer]] = []

    def now(self) -> float:
        return self.time

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = _Timer(action)
        heapq.heappush(self.waiting, (self.time + seconds, len(self.waiting), timer))
        return timer

    def wait(self, seconds: float) -> None:
        until = self.time + seconds
        while self.waiting and self.waiting[0][0] <= until:
            self.time, _, timer = heapq.heappop(self.waiting)
            if not timer.cancelled:
                timer.action()
        self.time = until


class _Timer:
    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def load(name: str) -> dict[str, Any]:
    """Read a case; numbers with a fraction stay as they are written."""
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    case: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return case


def joined(events: list[Event]) -> list[Event]:
    """Join neighbouring deltas of one stream: how many events they become is a matter of time."""
    out: list[Event] = []
    for event in events:
        data = event["data"]
        last = out[-1]["data"] if out else {}
        if _delta(data) and _delta(last) and all(data.get(k) == last.get(k) for k in ("run_id", "channel")):
            out[-1] = {**out[-1], "data": {**last, "delta": last["delta"] + data["delta"]}}
        else:
            out.append(event)
    return out


def _delta(data: Any) -> bool:
    return isinstance(data, dict) and data.get("status") == "delta"


class CaseError(Exception):
    """An error that says its kind."""

    error_kind = ""


class Player:
    """Calls one handler as a case says."""

    def __init__(self, case: dict[str, Any], publisher: Publisher, job_id: str, request_stop: Callable[..., None]):
        self.case = case
        self.clock = VirtualClock()
        self.request_stop = request_stop
        self.runs: dict[str, Any] = {}
        self.errors: dict[str, BaseException] = {}
        options = dict(case["options"])
        for name in ("grace", "stream_wait"):
            if f"{name}_ms" in options:
                options[name] = options.pop(f"{name}_ms") / 1000
        self.job = Handler(job_id, publisher, clock=self.clock, **options)

    def play(self) -> None:
        for step in self.case["callbacks"]:
            step = dict(step)
            getattr(self, "do_" + step.pop("do"))(**step)
        assert self.job.close(30)

    # --- what a case may call ---

    def start(self, begin: Callable[..., Any], run: str, info: dict[str, Any], *args: Any) -> None:
        if "parent" in info:
            info["parent"] = self.runs[info["parent"]]
        self.runs[run] = begin(*args, run_id=run, **info)

    def do_run_start(self, run: str, name: str = "", **info: Any) -> None:
        self.start(self.job.phase, run, info, name)

    def do_model_start(self, run: str, model: str = "", **info: Any) -> None:
        info.setdefault("name", "")
        self.start(self.job.model, run, info, model)

    def do_tool_start(self, run: str, tool: str = "", call_id: str = "", **info: Any) -> None:
        self.start(self.job.tool, run, info, tool, call_id)

    def do_run_progress(self, run: str, progress: Any = None, message: str = "") -> None:
        self.runs[run].progress(None if progress is None else float(progress), message)

    def do_run_output(self, run: str, output: Any) -> None:
        self.runs[run].output(output)

    def do_run_interrupt(self, run: str, value: Any = MISSING) -> None:
        self.runs[run].interrupt(value)

    def do_run_resume(self, run: str, value: Any = MISSING) -> None:
        self.runs[run].resume(value)

    def do_run_end(self, run: str, error: Any = None) -> None:
        ending: Run = self.runs[run]
        ending.end(error=self.error(error))

    def do_model_delta(self, run: str, text: str, channel: str = "") -> None:
        self.runs[run].delta(text, channel)

    def do_model_usage(self, run: str, usage: dict[str, int]) -> None:
        self.runs[run].usage(**usage)

    def do_model_cost(self, run: str, amount: Any, currency: str = "") -> None:
        self.runs[run].cost(amount, currency)

    def do_model_tool_call(self, run: str, tool: str, call_id: str = "", input: Any = MISSING) -> None:
        self.runs[run].tool_call(call_id, tool, input)

    def do_model_end(self, run: str, text: str = "", finish_reason: str = "", error: Any = None) -> None:
        ending: ModelRun = self.runs[run]
        ending.finish_reason(finish_reason)
        ending.end(text, error=self.error(error))

    def do_tool_end(self, run: str, output: Any = MISSING, error: Any = None) -> None:
        ending: ToolRun = self.runs[run]
        ending.end(output, error=self.error(error))

    def do_custom(self, name: str, value: Any = MISSING, run: str = "") -> None:
        (self.runs[run] if run else self.job).custom(name, value)

    def do_state(self, value: Any, run: str = "") -> None:
        (self.runs[run] if run else self.job).state(value)

    def do_state_patch(self, value: Any, run: str = "") -> None:
        (self.runs[run] if run else self.job).state_patch(value)

    def do_error(self, error: Any, scope: str) -> None:
        told = self.error(error)
        assert told is not None
        self.job.error(told, scope)

    def do_interrupt(self, value: Any = MISSING) -> None:
        self.job.interrupt(value)

    def do_resume(self, value: Any = MISSING) -> None:
        self.job.resume(value)

    def do_emit(self, event_type: str, data: Any = MISSING) -> None:
        self.job.emit(event_type, data)

    def do_cancel_requested(self, by: str = "", reason: str = "") -> None:
        """Somebody else asks the job to stop, after all until now was stored."""
        assert self.job.flush(30)
        self.request_stop(by, reason)
        assert self.job.wait_cancelled(30), "the handler did not take note of the request to stop"

    def do_wait(self, ms: int) -> None:
        assert self.job.flush(30)  # in so much time everything is sent
        self.clock.wait(ms / 1000)

    def do_end(self, output: Any = MISSING, error: Any = None) -> None:
        self.job.end(output, self.error(error))

    def error(self, told: dict[str, Any] | None) -> BaseException | None:
        """Make the error that a case describes, or give the one it made before."""
        if told is None:
            return None
        known = self.errors.get(told.get("id", ""))
        if known is not None:
            return known
        made: BaseException = Exception(told["message"])
        if told.get("kind"):
            made = CaseError(told["message"])
            made.error_kind = told["kind"]
        elif told.get("cancel"):
            made = asyncio.CancelledError(told["message"])
        elif told.get("timeout"):
            made = TimeoutError(told["message"])
        made.__cause__ = self.errors.get(told.get("wraps", ""))
        if "id" in told:
            self.errors[told["id"]] = made
        return made
