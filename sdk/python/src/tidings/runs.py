"""The runs of a job: phases, model calls, tool calls. `Handler` begins them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from ._snapshot import Snapshot, quote

if TYPE_CHECKING:
    from typing_extensions import Self

    from .handler import Handler

P = ParamSpec("P")
S = TypeVar("S", bound="_Run")


class _Missing:
    """Stands for what is not told; None is told as null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""The default of values that are left out of an event if not given."""

TEXT: Final = "text"
REASONING: Final = "reasoning"
REFUSAL: Final = "refusal"

current: ContextVar[_Run | None] = ContextVar("tidings_run", default=None)


def _guarded(method: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """Keep a fault of ours, or of a value given, from the agent."""

    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception:
            self._job._fault(method.__name__)

    functools.update_wrapper(call, method)
    return call


def member(name: str, value: Snapshot | None) -> str:
    """Give a member of an event's data, with the comma before it, or nothing."""
    return f',"{name}":{value.json}' if value is not None else ""


def truncated(**fields: Snapshot | None) -> str:
    """Give the member that says what was cut, or nothing."""
    for value in fields.values():
        if value is not None and value.full:
            break
    else:
        return ""
    cut = [f'"{name}":{value.full}' for name, value in fields.items() if value is not None and value.full]
    return f',"truncated":{{{",".join(cut)}}}'


def text_member(name: str, value: str) -> str:
    """Give a member unless the text is empty."""
    return f',"{name}":{quote(value)}' if value else ""


def whole(value: float) -> str:
    """Give seconds as whole milliseconds."""
    return str(max(0, int(value * 1000 + 1e-6)))


class _Run:
    """What all runs have in common: a place in the tree, and that they end once.

    A run has begun when its object is there. As a context manager, also in
    `async with`, it is the run around what begins in its block, and ends with
    it: with the exception, if there is one, which goes on.
    """

    __slots__ = (
        "_began", "_ended", "_hidden", "_in_graph", "_interrupted", "_job", "_leaf", "_name", "_output",
        "_parent", "_place", "_token", "_tree", "_waiting", "id",
    )  # fmt: skip

    def __init__(
        self,
        job: Handler,
        run_id: str,
        name: str,
        kind: str,
        parent: _Run | None,
        leaf: bool,
        hidden: bool = False,
        ns: tuple[str, ...] | list[str] = (),
        step: int = 0,
        attempt: int = 0,
    ) -> None:
        self._job = job
        self.id: Final = run_id
        self._name = name
        self._parent = parent
        self._leaf = leaf
        self._hidden = hidden
        self._began = job._clock.now()
        self._ended = False
        self._interrupted = False
        self._in_graph = False  # for adapters: it is a graph, or lies in one
        self._waiting = 0  # runs that wait for input: itself and those beneath
        self._output: Snapshot | None = None
        self._token: Token[_Run | None] | None = None
        around = parent._visible() if parent is not None else None
        self._place = f'"run_id":{quote(run_id)}' + (f',"parent_run_id":{quote(around.id)}' if around else "")
        self._tree = self._place + text_member("name", name) + text_member("kind", kind)
        if ns:
            self._tree += f',"ns":[{",".join(quote(str(part)) for part in ns)}]'
        if step:
            self._tree += f',"step":{int(step)}'
        if attempt:
            self._tree += f',"attempt":{int(attempt)}'

    # --- the tree ---

    def _visible(self) -> _Run | None:
        run: _Run | None = self
        while run is not None and run._hidden:
            run = run._parent
        return run

    def _is_root(self) -> bool:
        return self._parent is None and not self._leaf

    def _beneath(self, above: _Run | None) -> bool:
        """Report whether the run lies below `above`; None is the job itself."""
        if above is None:
            return True
        run: _Run | None = self
        while run is not None:
            if run is above:
                return True
            run = run._parent
        return False

    def _phase(self, status: str) -> str:
        """Begin the data of a phase_update of the run."""
        return f'{{"phase":{quote(self._name)},"status":"{status}",{self._tree}' if self._name else (
            f'{{"status":"{status}",{self._tree}'
        )

    # --- what every run can tell ---

    @_guarded
    def progress(self, progress: float | None = None, message: str = "") -> None:
        """Report how far the run is, from 0 to 1, and what it does at the moment."""
        if self._hidden:
            return
        job = self._job
        said = job._text("phase_update", "message", message)
        data = self._phase("progress")
        if progress is not None and progress >= 0 and math.isfinite(progress):
            data += f',"progress":{_number(min(progress, 1))}'
        job._emit("phase_update", data + member("message", said) + truncated(message=said) + "}")

    @_guarded
    def interrupt(self, value: object = MISSING) -> None:
        """Say that the run waits for input; `value` is what it asks for.

        When it goes on in this process, call `resume`. When it ends here and
        another run resumes it, end it without an error.
        """
        self._job._interrupt_run(self, value)

    @_guarded
    def resume(self, value: object = MISSING) -> None:
        """Say that the run goes on after an interrupt; `value` is the answer."""
        self._job._resume_run(self, value)

    @_guarded
    def custom(self, name: str, value: object = MISSING) -> None:
        """Publish anything the run wants to say."""
        self._job._custom(self._visible(), name, value)

    @_guarded
    def state(self, snapshot: object) -> None:
        """Publish a snapshot of the run's state."""
        self._job._state(self._visible(), "snapshot", snapshot)

    @_guarded
    def state_patch(self, patch: object) -> None:
        """Publish a change of the run's state: a JSON Patch (RFC 6902)."""
        self._job._state(self._visible(), "patch", patch)

    def _end_with(self, error: BaseException | None) -> None:
        raise NotImplementedError

    # --- the block ---

    def __enter__(self) -> Self:
        self._token = current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                current.reset(token)
            except ValueError:  # left in another context than entered, as generators are
                pass
        self._end_with(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def _number(value: float) -> str:
    """Give a finite number as JSON."""
    return str(int(value)) if value == int(value) else repr(float(value))


class Run(_Run):
    """A chain, graph, node or phase, from its beginning to its end.

    Its methods are safe in any thread, never block and never raise.
    """

    __slots__ = ()

    @_guarded
    def output(self, output: object) -> None:
        """Set what the end of the run publishes; of the root, also what an automatic end does."""
        self._output = self._job._field("phase_update", "output", output)

    @_guarded
    def end(self, output: object = MISSING, error: BaseException | None = None) -> None:
        """End the run: completed, or failed with `error`. A second end does nothing."""
        if output is not MISSING and error is None:
            value = self._job._field("phase_update", "output", output)
            if not self._ended:
                self._output = value
        self._job._end_run(self, error)

    def _end_with(self, error: BaseException | None) -> None:
        self.end(error=error)


class ModelRun(_Run):
    """One call of a language model.

    Its methods are safe in any thread, never block and never raise.
    """

    __slots__ = (
        "_bytes", "_cost", "_finish", "_first", "_head", "_pieces", "_tool_calls", "_usage", "message_id", "model",
    )  # fmt: skip

    def __init__(self, *args: Any, model: str, message_id: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model: Final = model
        self.message_id: Final = message_id or self.id
        message = f'"message_id":{quote(self.message_id)},'
        self._place = message + self._place
        self._head = f'{text_member("model", model)},{message}{self._tree}'
        self._first: float | None = None  # seconds to the first piece
        self._pieces: list[str] = []
        self._bytes = 0  # of all pieces of text, also those no longer held
        self._usage: dict[str, int] | None = None
        self._cost: tuple[float, str] | None = None
        self._finish = ""
        self._tool_calls: list[str] = []

    @_guarded
    def delta(self, text: str, channel: str = TEXT) -> None:
        """Publish the next piece of a stream; `channel` is text, reasoning or refusal.

        Pieces that come close together are joined into one event. Empty ones are
        left out.
        """
        if text:
            self._job._delta(self, text, channel or TEXT)

    @_guarded
    def usage(
        self,
        input_tokens: int = 0,
        output_tokens: int = 0,
        *,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
    ) -> None:
        """Set the tokens that the call took so far, as OpenTelemetry counts them. The last word counts.

        Input includes what was read from and written to a cache; output includes
        reasoning.
        """
        usage = {"input_tokens": int(input_tokens or 0), "output_tokens": int(output_tokens or 0)}
        if cached_input_tokens:
            usage["cached_input_tokens"] = int(cached_input_tokens)
        if cache_write_tokens:
            usage["cache_write_tokens"] = int(cache_write_tokens)
        if reasoning_tokens:
            usage["reasoning_tokens"] = int(reasoning_tokens)
        self._usage = usage

    @_guarded
    def cost(self, amount: float, currency: str = "USD") -> None:
        """Set what the call cost so far. The last word counts."""
        amount = float(amount)
        self._cost = (amount, str(currency)) if math.isfinite(amount) else None

    @_guarded
    def finish_reason(self, reason: str) -> None:
        """Set why the model stopped, as the provider says it: stop, length, tool_calls …"""
        self._finish = str(reason or "")

    @_guarded
    def tool_call(self, call_id: str, tool: str, input: object = MISSING) -> None:
        """Add a tool that the model asks for to what the end publishes. It calls nothing."""
        asked = "{" + (f'"call_id":{quote(call_id)},' if call_id else "") + f'"tool":{quote(tool)}'
        if input is not MISSING:
            asked += member("input", self._job._snapshot(input))
        self._tool_calls.append(asked + "}")

    @_guarded
    def end(self, text: str = "", error: BaseException | None = None) -> None:
        """End the call with the whole answer; by default what the pieces of text add up to.

        With an error it publishes an `error` of scope `llm` instead. A second end
        does nothing.
        """
        self._job._end_model(self, text, error)

    def _end_with(self, error: BaseException | None) -> None:
        self.end(error=error)

    def _gather(self, text: str, channel: str) -> None:
        """Note what the end will tell of the stream."""
        if self._first is None:
            self._first = self._job._clock.now() - self._began
        if channel != TEXT:
            return
        limit = self._job._limit
        if limit <= 0 or self._bytes <= limit:
            self._pieces.append(text)
        self._bytes += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))

    def _delta_data(self, channel: str, text: str) -> str:
        """Give the data of a joined delta; called by the sender."""
        told = self._job._redacted("thought", "delta", quote(text)) if self._job._redact else quote(text)
        return f'{{"status":"delta","channel":{quote(channel)},"delta":{told},{self._place}}}'

    def _content(self, text: str) -> Snapshot | None:
        if text:
            return self._job._text("thought", "content", text)
        gathered = "".join(self._pieces)
        content = self._job._text("thought", "content", gathered)
        if content is not None and content.full:
            return Snapshot(content.json, self._bytes)
        return content

    def _asked(self) -> Snapshot | None:
        """Give the tools that the model asks for."""
        if not self._tool_calls:
            return None
        return self._job._limited("thought", "tool_calls", f"[{','.join(self._tool_calls)}]")


class ToolRun(_Run):
    """One call of a tool.

    Its methods are safe in any thread, never block and never raise.
    """

    __slots__ = ("_head", "_result", "call_id", "tool")

    def __init__(self, *args: Any, tool: str, call_id: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tool: Final = tool
        self.call_id: Final = call_id or self.id
        self._head = f'{{"tool":{quote(tool)},"call_id":{quote(self.call_id)}'
        self._result: Snapshot | None = None

    @_guarded
    def output(self, output: object) -> None:
        """Set what the end of the call publishes, for use as a context manager."""
        self._result = self._job._field("tool_result", "output", output)

    @_guarded
    def end(self, output: object = MISSING, error: BaseException | None = None) -> None:
        """Publish the result of the call, or an error, which does not fail the job. A second end does nothing."""
        self._job._end_tool(self, output, error)

    def _end_with(self, error: BaseException | None) -> None:
        self.end(error=error)
