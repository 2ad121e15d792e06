"""The callback handler: tells the story of one job, whatever the agent is written with."""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol

from ._errors import Failure, Report
from ._errors import StopRequested as StopRequested
from ._snapshot import DEFAULT_LIMIT, RawJSON, Snapshot, cut_text, encode, quote, snapshot
from .errors import FencedError, TidingsError
from .publisher import DEFAULT_PRODUCER_ID, JobPublisher, Publisher, StopRequest, is_terminal
from .runs import MISSING, ModelRun, Run, ToolRun, _Run, current, member, text_member, truncated, whole

if TYPE_CHECKING:
    from typing_extensions import Self

Redact = Callable[[str, str, str], str]
"""A hook that is given the event type, the field and the value as JSON, and gives the JSON to publish."""

log = logging.getLogger("tidings")


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """Make it not happen."""


class Clock:
    """The time that durations and automatic ends go by."""

    def now(self) -> float:
        """Give seconds from some beginning."""
        return time.monotonic()

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Call `action` in so many seconds, on a thread of its own."""
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        timer.start()
        return timer


_random: Final = random.Random()  # of our own: a program may seed that of all


def new_id() -> str:
    """Give a new UUIDv7: unique, and sorted by time."""
    when, bits = f"{time.time_ns() // 1_000_000:012x}", _random.getrandbits(76)
    rest = f"{bits:019x}"
    return f"{when[:8]}-{when[8:]}-7{rest[:3]}-{'89ab'[bits & 3]}{rest[3:6]}-{rest[6:18]}"


_MAX_REPORTS: Final = 64  # told errors that are remembered; one climbs a few levels
_REDACT_SLACK: Final = 1 << 20  # of a value that a redaction hook sees beyond what is published


class Handler:
    """Tells of one job. `start` makes one; `with` ends the job with its block.

    Its methods only take a snapshot of their input and put an event into a queue.
    They never raise and never block the agent, and are safe in any thread and any
    event loop.
    """

    def __init__(
        self,
        job_id: str,
        publisher: Publisher | None,
        *,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        automatic: bool = False,
        grace: float = 0.0,
        stream_wait: float = 10.0,
        max_field_bytes: int = DEFAULT_LIMIT,
        redact: Redact | None = None,
        epoch: int | None = None,
        producer_id: str = DEFAULT_PRODUCER_ID,
        heartbeat: float | None = 10.0,
        clock: Clock | None = None,
    ) -> None:
        self.job_id: Final = job_id
        self._clock = clock or Clock()
        self._limit = max_field_bytes
        self._redact = redact
        self.automatic = automatic
        """Whether the job ends by itself when its root has ended; otherwise only `end` ends it."""
        self._grace = grace
        self._stream_wait = stream_wait
        self._began = self._clock.now()

        self._lock = threading.RLock()  # a finalizer may call back while a method of ours runs on its thread
        _handlers.add(self)
        self._open = 0  # runs and streams that have not ended
        self._roots = 0  # of them the roots
        self._suspended = False  # the last root ended while input was waited for
        self._job_waits = False
        self._last_root: _Run | None = None  # that ended last, if none has begun since
        self._failure: Failure | None = None
        self._reports: list[Report] = []
        self._usage: dict[str, int] = {}
        self._costs: dict[str, float] = {}
        self._over = False
        self._warned = False  # that something began after the end
        self._strays = 0
        self._timer: Timer | None = None
        self._round = 0  # of the timer: a stopped one may be on its way still
        self._output: Snapshot | None = None

        self._released = False
        self._out: JobPublisher | _Nowhere = _Nowhere()
        if publisher is not None:
            self._out = publisher.open_job(job_id, epoch=epoch, producer_id=producer_id, heartbeat=heartbeat)
        started = '{"phase":"job","status":"started"' + text_member("name", name)
        if labels:
            started += f',"labels":{encode({str(k): str(v) for k, v in labels.items()})}'
        about = self._field("phase_update", "metadata", metadata) if metadata else None
        self._emit("phase_update", started + member("metadata", about) + truncated(metadata=about) + "}")

    # --- runs ---

    def phase(
        self,
        name: str,
        *,
        kind: str = "chain",
        input: object = MISSING,
        run_id: str = "",
        parent: _Run | None = None,
        ns: Sequence[str] = (),
        step: int = 0,
        attempt: int = 0,
        hidden: bool = False,
        resumed: bool = False,
        value: object = MISSING,
        leaf: bool = False,
    ) -> Run:
        """Begin a phase: a chain, graph or node, beneath `parent`, or else the run around this code.

        A `hidden` one publishes nothing; what is in it appears beneath the nearest
        visible run. `resumed` says that it goes on where one that waited for input
        ended, in this process or another, with `value` as the answer. A `leaf` is
        never the root of the job, whose end can be the end of the job.
        """
        try:
            given = MISSING if hidden else input
            told = self._field("phase_update", "input", given) if given is not MISSING else None
            answer = self._field("phase_update", "value", value) if resumed and value is not MISSING else None
            run = Run(
                self, run_id or new_id(), name, kind, parent or self._around(), leaf, hidden, tuple(ns), step, attempt
            )
            with self._lock:
                again = self._begin(run) or resumed
                if not hidden:
                    data = run._phase("resumed" if again else "started")
                    data += member("input", told) + member("value", answer)
                    self._emit("phase_update", data + truncated(input=told, value=answer) + "}")
            return run
        except Exception:
            self._fault("phase")
            return Run(self, run_id or "lost", "", "", None, True, True)

    def model(
        self,
        model: str,
        *,
        name: str | None = None,
        kind: str = "llm",
        message_id: str = "",
        input: object = MISSING,
        run_id: str = "",
        parent: _Run | None = None,
        ns: Sequence[str] = (),
        step: int = 0,
        attempt: int = 0,
        hidden: bool = False,
    ) -> ModelRun:
        """Begin a call of the model."""
        try:
            given = MISSING if hidden else input
            told = self._field("thought", "input", given) if given is not MISSING else None
            run = ModelRun(
                self, run_id or new_id(), model if name is None else name, kind, parent or self._around(), True,
                hidden, tuple(ns), step, attempt, model=model, message_id=message_id,
            )  # fmt: skip
            with self._lock:
                self._begin(run)
                if not hidden:
                    data = f'{{"status":"started"{run._head}{member("input", told)}{truncated(input=told)}}}'
                    self._emit("thought", data)
            return run
        except Exception:
            self._fault("model")
            return ModelRun(self, run_id or "lost", "", "", None, True, True, model="", message_id="")

    def tool(
        self,
        tool: str,
        call_id: str = "",
        input: object = MISSING,
        *,
        name: str = "",
        kind: str = "tool",
        run_id: str = "",
        parent: _Run | None = None,
        ns: Sequence[str] = (),
        step: int = 0,
        attempt: int = 0,
        hidden: bool = False,
    ) -> ToolRun:
        """Begin a call of a tool, which the model asked for by `call_id`."""
        try:
            given = MISSING if hidden else input
            told = self._field("tool_call", "input", given) if given is not MISSING else None
            run = ToolRun(
                self, run_id or new_id(), name or tool, kind, parent or self._around(), True,
                hidden, tuple(ns), step, attempt, tool=tool, call_id=call_id,
            )  # fmt: skip
            with self._lock:
                self._begin(run)
                if not hidden:
                    data = f"{run._head}{member('input', told)},{run._tree}{truncated(input=told)}}}"
                    self._emit("tool_call", data)
            return run
        except Exception:
            self._fault("tool")
            return ToolRun(self, run_id or "lost", "", "", None, True, True, tool="", call_id="")

    def _around(self) -> _Run | None:
        """Give the run whose block this code is in."""
        run = current.get()
        return run if run is not None and run._job is self else None

    # --- the job itself ---

    def custom(self, name: str, value: object = MISSING) -> None:
        """Publish anything the agent wants to say, in the run around this code."""
        self._safely("custom", lambda: self._custom(_visible(self._around()), name, value))

    def state(self, snapshot: object) -> None:
        """Publish a snapshot of the state."""
        self._safely("state", lambda: self._state(_visible(self._around()), "snapshot", snapshot))

    def state_patch(self, patch: object) -> None:
        """Publish a change of the state: a JSON Patch (RFC 6902)."""
        self._safely("state_patch", lambda: self._state(_visible(self._around()), "patch", patch))

    def error(self, error: BaseException, scope: str = "job") -> None:
        """Publish an error that ends nothing; `scope` is chain, tool, llm or job."""
        self._safely("error", lambda: self._tell_error(error, scope, _visible(self._around()), None))

    def interrupt(self, value: object = MISSING) -> None:
        """Say that the whole job waits for input; `value` is what it asks for. A run's own `interrupt` is for one run."""

        def tell() -> None:
            asked = self._maybe("phase_update", "value", value)
            data = '{"phase":"job","status":"interrupted","interrupts":[{"id":"job"' + member("value", asked) + "}]"
            with self._lock:
                self._job_waits = True
                self._emit("phase_update", data + truncated(value=asked) + "}")

        self._safely("interrupt", tell)

    def resume(self, value: object = MISSING) -> None:
        """Say that the job goes on after an interrupt; `value` is the answer."""

        def tell() -> None:
            answer = self._maybe("phase_update", "value", value)
            data = '{"phase":"job","status":"resumed"' + member("value", answer) + truncated(value=answer) + "}"
            with self._lock:
                self._job_waits = False
                self._emit("phase_update", data)

        self._safely("resume", tell)

    def emit(self, event_type: str, data: object = MISSING) -> None:
        """Publish an event as it is. A terminal one ends the job."""

        def tell() -> None:
            text = "{}" if data is MISSING else snapshot(data, 0).json
            if is_terminal(event_type, text):
                self._finish_with(event_type, text)
            else:
                self._emit(event_type, text)

        self._safely("emit", tell)

    def output(self, output: object) -> None:
        """Set what the end of the job publishes, for use as a context manager."""

        def note() -> None:
            self._output = self._field("done", "output", output)

        self._safely("output", note)

    def end(self, output: object = MISSING, error: BaseException | None = None) -> None:
        """End the job: done with `output`, or failed with `error`.

        If the error says that work was broken off, and the job was asked to stop,
        it ends as cancelled. What comes afterwards is dropped and counted. It does
        not wait until all is stored: `close` does.
        """

        def tell() -> None:
            told = self._output if output is MISSING else self._field("done", "output", output)
            self._finish(told, Failure(error) if error is not None else None)

        self._safely("end", tell)

    # --- being asked to stop ---

    @property
    def stop_request(self) -> StopRequest | None:
        """Who asked the job to stop, and why; None if nobody did."""
        return self._out.stop_request

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop; cheap enough to look at in every loop."""
        return self._out.stop_request is not None

    @property
    def should_stop(self) -> bool:
        """Whether the job was asked to stop, or another worker has taken it over."""
        return self._out.stop_request is not None or isinstance(self._out.stopped, FencedError)

    def raise_if_cancelled(self) -> None:
        """Raise `StopRequested` if the job was asked to stop, and `FencedError` if another worker has taken it over."""
        asked, stopped = self._out.stop_request, self._out.stopped
        if asked is not None:
            raise StopRequested(asked.by, asked.reason)
        if isinstance(stopped, FencedError):
            raise stopped

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Wait in this thread until the job is asked to stop, and say whether it was."""
        return self._out.cancelled.wait(timeout)

    async def await_cancelled(self) -> StopRequest | None:
        """Wait until the job is asked to stop. None: it was taken over, or has ended."""
        return await self._out.wait_cancelled()

    # --- leaving ---

    @property
    def strays(self) -> int:
        """How many events came after the end and were dropped."""
        return self._strays

    @property
    def ended(self) -> bool:
        """Whether the terminal event was published."""
        return self._over

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything published before is stored, and say whether it is."""
        return self._out.flush(timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Send what is queued, and release the handler; say whether all is stored.

        It does not end the job, unless an automatic end only waits for streams or
        another root.
        """
        self._end_pending()
        return self._out.close(timeout) if self._release() else self._out.flush(timeout)

    async def aclose(self, timeout: float = 10.0) -> bool:
        """Do as `close` does, without blocking the event loop."""
        self._end_pending()
        return await (self._out.aclose(timeout) if self._release() else self._out.aflush(timeout))

    def _release(self) -> bool:
        """Say whether this is the first closing: a job that is shared is closed once by each who opened it."""
        with self._lock:
            first, self._released = not self._released, True
            return first

    def _end_pending(self) -> None:
        with self._lock:
            pending = self._timer is not None
            self._stop_timer()
        if pending:
            self._automatic_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the job, unless it has ended or waits for input, and close the handler."""
        self._end_block(error)
        self.close(0.0 if _in_event_loop() else 10.0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_block(error)
        await self.aclose()

    def _end_block(self, error: BaseException | None) -> None:
        with self._lock:
            waits = self._suspended or self._job_waits
        if not self._over and (error is not None or not waits):
            self.end(error=error)

    # --- emitting ---

    def _emit(self, event_type: str, data: str) -> None:
        with self._lock:
            if self._over:
                self._strays += 1
                return
            self._out.emit(event_type, data, terminal=False)

    def _delta(self, run: ModelRun, text: str, channel: str) -> None:
        with self._lock:
            if run._ended:
                self._strays += 1
                return
            run._gather(text, channel)
            if run._hidden:
                return
            if self._over:
                self._strays += 1
                return
            self._out.emit_delta(run, channel, text, run._delta_data)

    def _custom(self, run: _Run | None, name: str, value: object) -> None:
        told = self._maybe("custom", "value", value)
        self._emit("custom", f'{{"name":{quote(name)}{member("value", told)}{_place(run)}{truncated(value=told)}}}')

    def _state(self, run: _Run | None, what: str, value: object) -> None:
        told = self._field("state", what, value)
        data = f'{{"{what}":{told.json}{_place(run)}{truncated(**{what: told})}}}'
        self._emit("state", data)

    def _tell_error(self, error: BaseException, scope: str, run: _Run | None, message_id: str | None) -> None:
        failure = Failure(error)
        text, cause = self._explain("error", failure, run)
        data = member("error", text) + text_member("cause_run_id", cause) + text_member("kind", failure.kind)
        data += text_member("scope", scope) + ',"fatal":false'
        if message_id:
            data += text_member("message_id", message_id)
        self._emit("error", "{" + data[1:] + _place(run) + truncated(error=text) + "}")

    # --- the tree ---

    def _begin(self, run: _Run) -> bool:
        """Enter a run, and say whether it is a root that goes on after an interrupt."""
        self._open += 1
        if not run._is_root():
            return False
        self._roots += 1
        if self._over and not self._warned:
            self._warned = True
            log.warning(
                "tidings: job %s has ended, and what begins in it now is not published: each job needs a handler of "
                "its own; if several graphs are one job, set automatic=False and end it yourself",
                self.job_id,
            )
        self._last_root = None
        self._stop_timer()
        again, self._suspended = self._suspended, False
        return again

    def _close(self, run: _Run, failure: Failure | None) -> str:
        """Mark the run as ended and say how: completed, failed, interrupted, or nothing as that was told."""
        run._ended = True
        status = "completed"
        if failure is not None:
            status = "failed"
            _stop_waiting(run)
        elif run._interrupted:
            status = ""
        elif run._waiting:
            status = "interrupted"
        if run._is_root():
            self._last_root, self._failure = run, failure
            self._suspended = failure is None and run._waiting > 0
        return status

    def _settle(self, run: _Run) -> None:
        """Take the ended run out of the tree, and end the job if that was the last thing to wait for."""
        with self._lock:
            self._open -= 1
            if run._is_root():
                self._roots -= 1
            else:
                run._output = None  # it may be remembered for long
            if self._ends_now():
                self._automatic_end()

    def _end_run(self, run: Run, error: BaseException | None) -> None:
        failure = Failure(error) if error is not None else None
        with self._lock:
            if run._ended:
                return
            status = self._close(run, failure)
            try:
                if status and not run._hidden:
                    data = run._phase(status) + f',"duration_ms":{self._since(run._began)}'
                    if failure is not None:
                        self._emit("phase_update", data + self._failed("phase_update", failure, run) + "}")
                    elif status == "completed":
                        value = run._output
                        self._emit("phase_update", data + member("output", value) + truncated(output=value) + "}")
                    else:
                        self._emit("phase_update", data + "}")
            finally:
                self._settle(run)

    def _end_model(self, run: ModelRun, text: str, error: BaseException | None) -> None:
        with self._lock:
            if run._ended:
                return
            self._close(run, Failure(error) if error is not None else None)
            try:
                self._add_up(run)
                if run._hidden:
                    return
                if error is not None:
                    self._tell_error(error, "llm", run, run.message_id)
                else:
                    self._emit("thought", self._thought(run, text))
            finally:
                run._pieces.clear()
                self._settle(run)

    def _thought(self, run: ModelRun, text: str) -> str:
        """Give the data of the end of a model call."""
        content, asked = run._content(text), run._asked()
        data = f'{{"status":"completed"{run._head}{member("content", content)}{text_member("finish_reason", run._finish)}'
        if run._usage is not None:
            data += _usage(run._usage)
        if run._cost is not None:
            data += f',"cost":{_cost(*run._cost)}'
        if run._first is not None:
            data += f',"ttft_ms":{whole(run._first)}'
        data += f',"duration_ms":{self._since(run._began)}{member("tool_calls", asked)}'
        return data + truncated(content=content, tool_calls=asked) + "}"

    def _add_up(self, run: ModelRun) -> None:
        for name, count in (run._usage or {}).items():
            self._usage[name] = self._usage.get(name, 0) + count
        if run._cost is not None:
            amount, currency = run._cost
            self._costs[currency] = self._costs.get(currency, 0.0) + amount

    def _end_tool(self, run: ToolRun, output: object, error: BaseException | None) -> None:
        failure = Failure(error) if error is not None else None
        told: Snapshot | None = None
        if failure is None and not run._ended:  # before the call counts as ended: it may take long
            told = run._result if output is MISSING else self._field("tool_result", "output", output)
            told = told or _NULL
        with self._lock:
            if run._ended:
                return
            status = self._close(run, failure)
            try:
                if run._hidden or not status:  # it waits for input
                    return
                data = run._head
                if failure is None:
                    data += f"{member('output', told)},{run._tree},\"duration_ms\":{self._since(run._began)}"
                    data += truncated(output=told)
                else:
                    text, cause = self._explain("tool_result", failure, run)
                    data += f"{member('error', text)},{run._tree}"
                    data += text_member("cause_run_id", cause) + text_member("error_kind", failure.kind)
                    data += f',"duration_ms":{self._since(run._began)}{truncated(error=text)}'
                self._emit("tool_result", data + "}")
            finally:
                self._settle(run)

    def _interrupt_run(self, run: _Run, value: object) -> None:
        asked = self._maybe("phase_update", "value", value)
        with self._lock:
            if run._ended or run._interrupted:
                return
            first = run._waiting == 0
            run._interrupted = True
            above: _Run | None = run
            while above is not None:
                above._waiting += 1
                above = above._parent
            seen = run._visible()
            if seen is None or (run._hidden and not first):
                return
            data = seen._phase("interrupted")
            if first:  # otherwise a run beneath has told what is asked for
                data += f',"interrupts":[{{"id":{quote(run.id)}{member("value", asked)}}}]{truncated(value=asked)}'
            self._emit("phase_update", data + "}")

    def _resume_run(self, run: _Run, value: object) -> None:
        answer = self._maybe("phase_update", "value", value)
        with self._lock:
            seen = run._visible()
            if run._ended or not _stop_waiting(run) or seen is None:
                return
            data = seen._phase("resumed") + member("value", answer) + truncated(value=answer)
            self._emit("phase_update", data + "}")

    # --- errors ---

    def _failed(self, event_type: str, failure: Failure, run: _Run) -> str:
        text, cause = self._explain(event_type, failure, run)
        told = member("error", text) + text_member("cause_run_id", cause) + text_member("error_kind", failure.kind)
        return told + truncated(error=text)

    def _explain(self, event_type: str, failure: Failure, run: _Run | None) -> tuple[Snapshot | None, str]:
        """Say how an event tells of the error: by its text the first time, then by the run that told it."""
        cause = self._cause(failure, run)
        if cause:
            return None, cause
        return self._field(event_type, "error", failure.text), ""

    def _cause(self, failure: Failure, run: _Run | None) -> str:
        """Give the run beneath that told of the error, or note that `run` tells of it now."""
        with self._lock:
            for report in reversed(self._reports):
                told = report.run
                if told is not None and told is not run and told._beneath(run) and report.tells_of(failure):
                    return told.id
            if run is not None and run._hidden:
                return ""
            if len(self._reports) >= _MAX_REPORTS:
                del self._reports[0]
            self._reports.append(Report(failure.links[0], run))
        return ""

    # --- the end ---

    def _finish(self, output: Snapshot | None, failure: Failure | None) -> None:
        """Publish the terminal event, once."""
        with self._lock:
            if self._over:
                self._strays += 1
                return
            asked = self._out.stop_request
            if failure is None:
                data = '{"status":"completed"' + member("output", output) + self._sums() + truncated(output=output)
                self._finish_with("done", data + "}")
            elif failure.stop is not None or (asked is not None and failure.broken_off()):
                self._finish_with("cancelled", self._stopped(asked or failure.stop))
            else:
                self._finish_with("error", self._fatal(failure))

    def _stopped(self, asked: StopRequest | StopRequested | None) -> str:
        who = text_member("reason", asked.reason) + text_member("by", asked.by) if asked is not None else ""
        return "{" + (who + self._sums())[1:] + "}"

    def _fatal(self, failure: Failure) -> str:
        """Tell of the error with its text in any case: this event is what people look at first."""
        text, cause = self._explain("error", failure, None)
        text = text or self._field("error", "error", failure.text)
        data = member("error", text) + text_member("cause_run_id", cause) + text_member("kind", failure.kind)
        return "{" + data[1:] + ',"scope":"job","fatal":true' + self._sums() + truncated(error=text) + "}"

    def _finish_with(self, event_type: str, data: str) -> None:
        with self._lock:
            if self._over:
                self._strays += 1
                return
            self._over = True
            self._stop_timer()
            self._reports.clear()
            self._failure = None
            self._out.emit(event_type, data, terminal=True)

    def _sums(self) -> str:
        """Give what the whole job took."""
        data = f',"duration_ms":{self._since(self._began)}'
        if self._usage:
            data += _usage(self._usage)
        if self._costs:
            costs = [_cost(amount, currency) for currency, amount in self._costs.items()]
            data += f',"cost":{costs[0]}' if len(costs) == 1 else f',"cost":[{",".join(costs)}]'
        return data

    def _ends_now(self) -> bool:
        """Say whether the job should end now, or set a timer for when what has to be waited for is over."""
        if not self.automatic or self._over or self._roots or self._last_root is None or self._suspended:
            return False
        wait = self._grace
        if self._open > 0:
            if self._timer is not None:
                return False  # it counts from the root's end
            wait = self._stream_wait
        self._stop_timer()
        if wait <= 0:
            return True
        turn = self._round
        self._timer = self._clock.later(wait, lambda: self._timed_out(turn))
        return False

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._round += 1

    def _timed_out(self, turn: int) -> None:
        with self._lock:
            if turn == self._round:
                self._automatic_end()

    def _automatic_end(self) -> None:
        """End the job as its last root ended."""

        def tell() -> None:
            with self._lock:
                if self._last_root is not None and not self._over:
                    self._finish(self._last_root._output, self._failure)

        self._safely("automatic end", tell)

    # --- values ---

    def _snapshot(self, value: object) -> Snapshot:
        return snapshot(value, self._limit)

    def _field(self, event_type: str, name: str, value: object) -> Snapshot:
        """Take a snapshot of a value of the agent."""
        if self._redact is None:
            return snapshot(value, self._limit)
        seen = snapshot(value, self._limit * 4 + _REDACT_SLACK if self._limit > 0 else 0)
        return self._limited(event_type, name, seen.json, seen.full)

    def _maybe(self, event_type: str, name: str, value: object) -> Snapshot | None:
        return None if value is MISSING else self._field(event_type, name, value)

    def _text(self, event_type: str, name: str, text: str) -> Snapshot | None:
        """Take a text, of which an empty one is left out."""
        return self._field(event_type, name, text) if text else None

    def _limited(self, event_type: str, name: str, text: str, full: int = 0) -> Snapshot:
        """Redact and cut JSON."""
        if self._redact is not None:
            text = self._redacted(event_type, name, text)
        limit = self._limit
        size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if limit <= 0 or size <= limit:
            return Snapshot(text, full)
        if text.startswith('"'):
            return cut_text(json.loads(text), limit, full)
        return cut_text(text, limit, full)

    def _redacted(self, event_type: str, name: str, text: str) -> str:
        """Give what the hook makes of the value. What it could not look at is not published."""
        try:
            out = self._redact(event_type, name, text) if self._redact else text
            return snapshot(RawJSON(out), 0).json
        except Exception:
            log.exception("tidings: the redaction hook raised; a value of job %s is left out", self.job_id)
            return '"[left out: the redaction hook raised]"'

    def _since(self, began: float) -> str:
        return whole(self._clock.now() - began)

    def _safely(self, method: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            self._fault(method)

    def _fault(self, method: str) -> None:
        try:
            log.exception("tidings: a callback (%s) of job %s failed; its event is lost", method, self.job_id)
        except Exception:  # an error that can't be looked at; the agent is not to hear of it
            log.error("tidings: a callback (%s) of job %s failed; its event is lost", method, self.job_id)


class _Nowhere:
    """Where a handler without a publisher publishes: the agent runs unobserved."""

    stop_request: StopRequest | None = None
    stopped: TidingsError | None = None
    cancelled: Final = threading.Event()

    def emit(self, event_type: str, data: str, *, terminal: bool) -> None:
        """Drop it."""

    def emit_delta(self, stream: object, channel: str, text: str, rest: object) -> None:
        """Drop it."""

    async def wait_cancelled(self) -> StopRequest | None:
        """Wait for what never comes."""
        never: asyncio.Future[StopRequest | None] = asyncio.get_running_loop().create_future()
        return await never

    def flush(self, timeout: float) -> bool:
        """There is nothing to send."""
        return True

    async def aflush(self, timeout: float) -> bool:
        """There is nothing to send."""
        return True

    def close(self, timeout: float) -> bool:
        """There is nothing to send."""
        return True

    async def aclose(self, timeout: float) -> bool:
        """There is nothing to send."""
        return True


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_NULL: Final = Snapshot("null", 0)


def _visible(run: _Run | None) -> _Run | None:
    return run._visible() if run is not None else None


def _place(run: _Run | None) -> str:
    """Give where in the tree an event belongs that has a name of its own."""
    if run is None:
        return ""
    around = run._parent._visible() if run._parent is not None else None
    return f',"run_id":{quote(run.id)}' + (f',"parent_run_id":{quote(around.id)}' if around else "")


def _stop_waiting(run: _Run) -> bool:
    if not run._interrupted:
        return False
    run._interrupted = False
    above: _Run | None = run
    while above is not None:
        above._waiting -= 1
        above = above._parent
    return True


_COUNTS: Final = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")


def _usage(counts: Mapping[str, int]) -> str:
    told = [f'"{name}":{counts[name]}' for name in _COUNTS if name in counts]
    return f',"usage":{{{",".join(told)}}}'


def _cost(amount: float, currency: str) -> str:
    """Give an amount to a billionth, so that sums of decimal fractions look like such."""
    digits = f"{amount:.9f}".rstrip("0").rstrip(".") or "0"
    return f'{{"amount":{digits}{text_member("currency", currency)}}}'


_handlers: weakref.WeakSet[Handler] = weakref.WeakSet()


def _end_all_pending() -> None:
    """End the jobs that only wait for another root: the program ends, and none will come."""
    for handler in list(_handlers):
        handler._safely("end of the program", handler._end_pending)


# Runs before what the publisher's module has registered: that sends what this says.
atexit.register(_end_all_pending)


def _after_fork() -> None:
    """Free the locks that other threads of the parent held, and make IDs of our own."""
    _random.seed()
    for handler in list(_handlers):
        handler._lock = threading.RLock()
        handler._timer = None  # the parent ends its jobs


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def start(job_id: str, publisher: Publisher | None, **options: Any) -> Handler:
    """Begin to tell of a job; `Handler` says what the options are.

    It publishes that the job has started, and signs of life until it ends. A job
    that is started again, after an interrupt or a crash, goes on with its log.
    Without a publisher the agent runs unobserved.
    """
    return Handler(job_id, publisher, **options)
