"""A callback handler for LangChain and LangGraph.

    handler = TidingsCallbackHandler(job_id, publisher)
    graph.invoke(inputs, config={"callbacks": [handler], "configurable": {"thread_id": job_id}})

It works for `invoke`, `stream`, `batch` and their async kin alike. What it
publishes follows `docs/events.md`; what is left out, and why, the README says.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from weakref import WeakSet

from ._errors import StopRequested
from .errors import FencedError
from .handler import Handler
from .publisher import Publisher, StopRequest
from .runs import MISSING, REASONING, REFUSAL, TEXT, ModelRun, Run, ToolRun, _Run

try:
    from langchain_core.callbacks import BaseCallbackHandler
except ImportError as missing:
    raise ImportError(
        "tidings.langchain needs langchain-core, which is not installed; install it with the extra: "
        "pip install 'tidings[langchain]'"
    ) from missing

if TYPE_CHECKING:
    from typing_extensions import Self

    _Base = BaseCallbackHandler
else:
    try:  # there since LangGraph 1.2; only its subclasses are told of interrupts
        from langgraph.callbacks import GraphCallbackHandler as _Base
    except ImportError:
        _Base = BaseCallbackHandler

log = logging.getLogger("tidings")

_HIDDEN: Final = "langsmith:hidden"
_SILENT: Final = frozenset({"nostream", "langsmith:nostream"})
_MAX_ENDED: Final = 256  # ended runs that are remembered, for children that come late
_MAX_ASKED: Final = 256  # tool calls of models that are remembered until they are called


class TidingsCallbackHandler(_Base):
    """Publishes what a LangGraph graph, or anything of LangChain, does as one job.

    The job ends with its root: done, failed, or cancelled if it was asked to stop;
    at an interrupt it stays open, and the graph that resumes it goes on with it.
    `grace` is how many seconds the end waits for another root, for several graphs
    one after the other. As a context manager the handler ends the job with its
    block instead.

    `node_inputs` publishes what each node is given (the whole state), and
    `model_inputs` the messages of each model call; both grow with every step.
    `node_outputs` publishes what a node changes. `stream_models` makes models
    stream whose agent only invokes them, so that their tokens are seen live.
    `raise_if_cancelled` raises `StopRequested` at the agent's next callback when
    the job was asked to stop.

    All other options are those of `tidings.start`.
    """

    run_inline = True
    """Async graphs call it in their event loop, in order, not in threads side by side."""

    raise_error = True
    """Only `StopRequested` is ever raised."""

    def __init__(
        self,
        job_id: str,
        publisher: Publisher | None,
        *,
        node_inputs: bool = False,
        node_outputs: bool = True,
        model_inputs: bool = False,
        stream_models: bool = False,
        raise_if_cancelled: bool = True,
        automatic: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        self.job: Final = Handler(job_id, publisher, automatic=automatic, **options)
        """The handler of the job, for what the graph itself wants to tell."""
        self._node_inputs = node_inputs
        self._node_outputs = node_outputs
        self._model_inputs = model_inputs
        self._raise = raise_if_cancelled
        self._runs: dict[UUID, _Run] = {}
        self._ended: OrderedDict[UUID, _Run] = OrderedDict()
        self._silent: set[UUID] = set()  # model calls whose tokens are not for users
        self._tried: OrderedDict[tuple[UUID, Any], int] = OrderedDict()  # parent, task -> how often
        self._source: dict[UUID, str] = {}  # model call -> which of two ways its tokens come
        self._copies: dict[UUID, list[int]] = {}  # run that is told by several of us -> how many, calls since
        self._handed: WeakSet[BaseException] = WeakSet()  # hand-overs that were told
        self._asked: OrderedDict[str, tuple[str, Any]] = OrderedDict()  # call ID -> tool, arguments
        if stream_models:
            # LangChain asks only whether these are there.
            self.tap_output_iter: Callable[..., Any] = _same
            self.tap_output_aiter: Callable[..., Any] = _same

    # --- the job ---

    @property
    def job_id(self) -> str:
        """The job's ID."""
        return self.job.job_id

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return self.job.cancelled

    @property
    def stop_request(self) -> StopRequest | None:
        """Who asked the job to stop, and why; None if nobody did."""
        return self.job.stop_request

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything published before is stored, and say whether it is."""
        return self.job.flush(timeout)

    def close(self, timeout: float = 10.0) -> bool:
        """Send what is queued, and release the job; it does not end it."""
        return self.job.close(timeout)

    async def aclose(self, timeout: float = 10.0) -> bool:
        """Do as `close` does, without blocking the event loop."""
        return await self.job.aclose(timeout)

    def __enter__(self) -> Self:
        self.job.automatic = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.job.__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.job.__aexit__(kind, error, trace)

    def __deepcopy__(self, memo: object) -> Self:
        """Stay the same: configurations are copied, the job is one."""
        return self

    # --- chains, graphs and nodes ---

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, **told: Any) -> None:
        """Begin a graph, a node, or what is hidden between them."""
        if self._raise and self.job.should_stop:
            self._refuse(told, run_id)
        if self._again(run_id):
            return
        try:
            self._chain_start(serialized, inputs, run_id, told)
        except Exception:
            self.job._fault("on_chain_start")

    def _chain_start(self, serialized: Any, inputs: Any, run_id: UUID, told: dict[str, Any]) -> None:
        parent = self._run(told.get("parent_run_id"))
        tags: Sequence[str] = told.get("tags") or ()
        about: Mapping[str, Any] = told.get("metadata") or {}
        name = told.get("name") or _name(serialized)
        kind, hidden, given = "chain", _HIDDEN in tags, inputs
        resumed: bool = False
        answer: object = MISSING
        ns: list[str] = []
        step = attempt = 0
        graph = _is_graph(name, about)
        if parent is None:
            if graph:
                kind = "graph"
                answer = _answer(inputs)
                resumed = answer is not MISSING or inputs is None
        elif any(tag.startswith("graph:step:") for tag in tags) or _is_task(name, about):
            kind = "node"
            name = about.get("langgraph_node") or name
            ns = _namespace(about.get("langgraph_checkpoint_ns"))
            step = about.get("langgraph_step") or 0
            attempt = self._attempt(told["parent_run_id"], about.get("langgraph_checkpoint_ns"))
            given = inputs if self._node_inputs else MISSING
        elif parent._in_graph:
            hidden = True  # a router, or the graph within a node
        elif graph:
            kind = "graph"
        run = self._runs[run_id] = self.job.phase(
            str(name),
            kind=kind,
            input=MISSING if resumed else given,
            run_id=str(run_id),
            parent=parent,
            ns=ns,
            step=step,
            attempt=attempt,
            hidden=hidden,
            resumed=resumed,
            value=answer,
        )
        run._in_graph = graph or (parent is not None and parent._in_graph)

    def _attempt(self, parent: UUID, task: Any) -> int:
        """Count the tries of a task of a graph; 0: it is the first."""
        tries = self._tried.pop((parent, task), 0) + 1
        self._tried[parent, task] = tries
        if len(self._tried) > _MAX_ENDED:
            self._tried.popitem(last=False)
        return tries if tries > 1 else 0

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **told: Any) -> None:
        """End a graph or node: completed, or interrupted."""
        try:
            run = self._end(run_id)
            if not isinstance(run, Run):
                return
            root = run._parent is None
            if (root or self._node_outputs) and not (run._hidden and not root):
                run.end(outputs)
            else:
                run.end()
        except Exception:
            self.job._fault("on_chain_end")

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> None:
        """End a graph or node: failed, unless it only waits for input or hands over."""
        try:
            run = self._end(run_id)
            if isinstance(run, Run):
                if not self._bubbles(run, error):
                    run.end(error=error)
                else:
                    run.end()
        except Exception:
            self.job._fault("on_chain_error")

    def _bubbles(self, run: _Run, error: BaseException) -> bool:
        """Say whether what was raised is no error, and tell what it is: LangGraph raises its signals."""
        try:
            return self._signal(run, error)
        except Exception:  # of an error that does not like to be looked at
            self.job._fault("on_chain_error")
            return False

    def _signal(self, run: _Run, error: BaseException) -> bool:
        kinds = [kind for kind in type(error).__mro__ if str(kind.__module__).startswith("langgraph")]
        names = {kind.__name__ for kind in kinds}
        if "GraphBubbleUp" not in names:
            return False
        if "GraphInterrupt" in names:
            run.interrupt(_question(error.args[0] if error.args else ()))
        elif "GraphDrained" in names:
            run.interrupt()
        elif "ParentCommand" in names and error.args and error not in self._handed:
            self._handed.add(error)  # it climbs
            to = _targets(getattr(error.args[0], "goto", None))
            if to:
                run.custom("handoff", {"to": to})
        return True

    def on_interrupt(self, event: Any) -> None:
        """Note that a graph waits for input although none of its nodes asks: a breakpoint."""
        try:
            run = self._runs.get(event.run_id)
            if run is not None and run._waiting == 0:
                questions = tuple(event.interrupts)
                run.interrupt(_question(questions) if questions else {"status": event.status})
        except Exception:
            self.job._fault("on_interrupt")

    def on_resume(self, event: Any) -> None:
        """Do nothing: the root that resumes has said so."""

    # --- models ---

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **told: Any) -> None:
        """Begin a call of a chat model."""
        self._stop_if_asked()
        if self._again(run_id):
            return
        try:
            self._model_start(serialized, messages[0] if len(messages) == 1 else messages, run_id, told)
        except Exception:
            self.job._fault("on_chat_model_start")

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **told: Any) -> None:
        """Begin a call of a model that completes text."""
        self._stop_if_asked()
        if self._again(run_id):
            return
        try:
            self._model_start(serialized, prompts[0] if len(prompts) == 1 else prompts, run_id, told)
        except Exception:
            self.job._fault("on_llm_start")

    def _model_start(self, serialized: Any, prompt: Any, run_id: UUID, told: dict[str, Any]) -> None:
        tags: Sequence[str] = told.get("tags") or ()
        about: Mapping[str, Any] = told.get("metadata") or {}
        name = told.get("name") or _name(serialized)
        call: Mapping[str, Any] = told.get("invocation_params") or {}
        model = about.get("ls_model_name") or call.get("model") or call.get("model_name") or call.get("model_id")
        if not _SILENT.isdisjoint(tags):
            self._silent.add(run_id)
        self._runs[run_id] = self.job.model(
            str(model or name),
            name=str(name),
            input=prompt if self._model_inputs else MISSING,
            run_id=str(run_id),
            parent=self._run(told.get("parent_run_id")),
            hidden=_HIDDEN in tags,
        )

    def on_llm_new_token(self, token: Any, *, run_id: UUID, chunk: Any = None, **told: Any) -> None:
        """Publish the next piece of a stream."""
        try:
            run = self._runs.get(run_id)
            if isinstance(run, ModelRun) and self._tells(run_id, "token") and self._first(run_id):
                message = getattr(chunk, "message", None)
                if message is None:
                    run.delta(str(token))
                else:
                    for channel, text in _pieces(message):
                        run.delta(text, channel)
        except Exception:
            self.job._fault("on_llm_new_token")
        self._stop_if_asked()

    def on_stream_event(self, event: Any, *, run_id: UUID, **told: Any) -> None:
        """Publish the next piece of a stream of content blocks."""
        try:
            run, delta = self._runs.get(run_id), event.get("delta") or {}
            if isinstance(run, ModelRun) and self._tells(run_id, "event") and self._first(run_id):
                if delta.get("type") == "text-delta":
                    run.delta(delta.get("text") or "")
                elif delta.get("type") == "reasoning-delta":
                    run.delta(delta.get("reasoning") or "", REASONING)
        except Exception:
            self.job._fault("on_stream_event")
        self._stop_if_asked()

    def _tells(self, run_id: UUID, way: str) -> bool:
        """Say whether tokens that come this way are told: a model may tell each both ways."""
        return self._source.setdefault(run_id, way) == way and run_id not in self._silent

    def on_llm_end(self, response: Any, *, run_id: UUID, **told: Any) -> None:
        """End a call of a model with its answer, tokens, and the tools it asks for."""
        try:
            run = self._end(run_id)
            self._silent.discard(run_id)
            self._source.pop(run_id, None)
            if not isinstance(run, ModelRun):
                return
            text = ""
            try:
                text = self._answered(run, response)
            finally:
                run.end(text)
        except Exception:
            self.job._fault("on_llm_end")

    def _answered(self, run: ModelRun, response: Any) -> str:
        """Note what an answer tells, and give its text."""
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        message = getattr(generation, "message", None)
        about = getattr(message, "response_metadata", None) or getattr(generation, "generation_info", None) or {}
        reason = about.get("finish_reason") or about.get("stop_reason") or about.get("done_reason")
        run.finish_reason(str(reason or ""))
        _tell_usage(run, getattr(message, "usage_metadata", None), response.llm_output or {})
        if message is None:
            return str(getattr(generation, "text", "") or "")
        for call in getattr(message, "tool_calls", None) or ():
            run.tool_call(str(call.get("id") or ""), str(call.get("name") or ""), call.get("args"))
            self._remember(call)
        for call in getattr(message, "invalid_tool_calls", None) or ():
            run.tool_call(str(call.get("id") or ""), str(call.get("name") or ""), call.get("args"))
        return "".join(text for channel, text in _pieces(message) if channel == TEXT)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> None:
        """End a call of a model that failed."""
        try:
            run = self._end(run_id)
            self._silent.discard(run_id)
            self._source.pop(run_id, None)
            if isinstance(run, ModelRun):
                run.end(error=error)
        except Exception:
            self.job._fault("on_llm_error")

    # --- tools ---

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: UUID, **told: Any) -> None:
        """Begin a call of a tool."""
        self._stop_if_asked()
        if self._again(run_id):
            return
        try:
            name = str(_name(serialized) or told.get("name") or "")
            given = told.get("inputs")
            call_id = told.get("tool_call_id") or self._recall(name, given)
            parent = self._run(told.get("parent_run_id"))
            run = self._runs[run_id] = self.job.tool(
                name,
                str(call_id or ""),
                input_str if given is None else given,
                run_id=str(run_id),
                parent=parent,
                hidden=_HIDDEN in (told.get("tags") or ()),
            )
            run._in_graph = parent is not None and parent._in_graph
        except Exception:
            self.job._fault("on_tool_start")

    def on_tool_end(self, output: Any, *, run_id: UUID, **told: Any) -> None:
        """End a call of a tool with its result."""
        try:
            run = self._end(run_id)
            if not isinstance(run, ToolRun):
                return
            try:
                self._tool_end(run, output)
            finally:
                run.end(output)  # if it has not, as the output does not like to be looked at
        except Exception:
            self.job._fault("on_tool_end")

    def _tool_end(self, run: ToolRun, output: Any) -> None:
        result = _result(output, run.call_id)
        if getattr(result, "status", None) == "error":
            run.end(error=Exception(_plain(result.content)))
        elif hasattr(result, "tool_call_id"):
            run.end(result.content)
        else:
            run.end(result)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> None:
        """End a call of a tool that failed, or that waits for input."""
        try:
            run = self._end(run_id)
            if isinstance(run, ToolRun):
                if self._bubbles(run, error):
                    run.end()
                else:
                    run.end(error=error)
        except Exception:
            self.job._fault("on_tool_error")

    def _remember(self, call: Mapping[str, Any]) -> None:
        """Keep the ID of a tool call that a model asks for, for a LangChain that does not pass it on."""
        if call.get("id"):
            self._asked[str(call["id"])] = (str(call.get("name")), call.get("args"))
            if len(self._asked) > _MAX_ASKED:
                self._asked.popitem(last=False)

    def _recall(self, tool: str, given: Any) -> str:
        for call_id, (name, arguments) in self._asked.items():
            if name == tool and arguments == given:
                del self._asked[call_id]
                return call_id
        return ""

    # --- retrievers, and what else there is ---

    def on_retriever_start(self, serialized: Any, query: str, *, run_id: UUID, **told: Any) -> None:
        """Begin a search for documents."""
        self._stop_if_asked()
        if self._again(run_id):
            return
        try:
            self._runs[run_id] = self.job.phase(
                str(told.get("name") or _name(serialized)),
                kind="retriever",
                input=query,
                run_id=str(run_id),
                parent=self._run(told.get("parent_run_id")),
                hidden=_HIDDEN in (told.get("tags") or ()),
                leaf=True,
            )
        except Exception:
            self.job._fault("on_retriever_start")

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **told: Any) -> None:
        """End a search with what it found."""
        try:
            run = self._end(run_id)
            if isinstance(run, Run):
                run.end(documents)
        except Exception:
            self.job._fault("on_retriever_end")

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **told: Any) -> None:
        """End a search that failed."""
        try:
            run = self._end(run_id)
            if isinstance(run, Run):
                run.end(error=error)
        except Exception:
            self.job._fault("on_retriever_error")

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **told: Any) -> None:
        """Publish what the agent says by `dispatch_custom_event`, in the run that says it."""
        try:
            run = self._run(run_id)
            if self._first(run_id):
                (run or self.job).custom(str(name), data)
        except Exception:
            self.job._fault("on_custom_event")

    def on_retry(self, retry_state: Any, *, run_id: UUID, **told: Any) -> None:
        """Say that a model or chain is tried again."""
        try:
            run = self._run(run_id)
            if self._first(run_id):
                (run or self.job).custom("retry", {"attempt": retry_state.attempt_number})
        except Exception:
            self.job._fault("on_retry")

    # --- runs ---

    def _run(self, run_id: UUID | None) -> _Run | None:
        if run_id is None:
            return None
        return self._runs.get(run_id) or self._ended.get(run_id)

    def _again(self, run_id: UUID) -> bool:
        """Say whether the beginning of a run was told before: a handler that is given to a graph and to its call
        is called twice."""
        if run_id not in self._runs:
            return False
        self._copies.setdefault(run_id, [1, 0])[0] += 1
        return True

    def _first(self, run_id: UUID) -> bool:
        """Say whether this call, of as many as there are copies of us, is the one that counts."""
        copies = self._copies.get(run_id)
        if copies is None:
            return True
        copies[1] += 1
        return copies[1] % copies[0] == 1

    def _end(self, run_id: UUID) -> _Run | None:
        run = self._runs.pop(run_id, None)
        if run is not None:
            self._copies.pop(run_id, None)
            self._ended[run_id] = run
            if len(self._ended) > _MAX_ENDED:
                self._ended.popitem(last=False)
        return run

    def _stop_if_asked(self) -> None:
        if self._raise and self.job.should_stop:
            self.job.raise_if_cancelled()

    def _refuse(self, told: Mapping[str, Any], run_id: UUID) -> None:
        """Let nothing more begin; a root that would begin ends the job."""
        try:
            self.job.raise_if_cancelled()
        except (StopRequested, FencedError) as asked:
            if told.get("parent_run_id") is None:
                self.job.phase(str(told.get("name") or ""), kind="graph", run_id=str(run_id)).end(error=asked)
            raise


def _same(run_id: UUID, output: Iterator[Any] | AsyncIterator[Any]) -> Any:
    return output


def _name(serialized: Any) -> str:
    """Give the name of what is called, if the call itself has none."""
    if not isinstance(serialized, Mapping):
        return ""
    path = serialized.get("id")
    return str(serialized.get("name") or (path[-1] if isinstance(path, list) and path else ""))


def _namespace(told: Any) -> list[str]:
    """Give the path of nested graphs: the names of nodes, without the IDs of their tasks."""
    if not isinstance(told, str) or not told:
        return []
    return [part.partition(":")[0] for part in told.split("|")]


def _is_graph(name: str, about: Mapping[str, Any]) -> bool:
    """Say whether that is a graph itself: what is in it names its node."""
    return name == "LangGraph" or (about.get("ls_integration") == "langgraph" and "langgraph_node" not in about)


def _is_task(name: str, about: Mapping[str, Any]) -> bool:
    """Say whether that is a task of the functional API, which has no step of its own."""
    path = about.get("langgraph_path")
    called = isinstance(path, tuple) and len(path) > 1 and path[0] == "__pregel_push" and path[-1] is True
    return called and about.get("langgraph_node") == name


def _answer(inputs: Any) -> object:
    """Give the answer with which a graph is resumed."""
    if type(inputs).__name__ != "Command":
        return MISSING
    resume = getattr(inputs, "resume", None)
    return MISSING if resume is None else resume


def _targets(goto: Any) -> str | list[str]:
    """Give the nodes that a command goes to: one name, or a list of several; an empty one if there is none."""
    found = [getattr(to, "node", to) for to in (goto if isinstance(goto, (list, tuple)) else [goto])]
    names = [to for to in found if isinstance(to, str) and to]
    return names[0] if len(names) == 1 else names


def _question(interrupts: Any) -> object:
    """Give what interrupts ask for."""
    try:
        values = [getattr(interrupt, "value", interrupt) for interrupt in interrupts]
    except TypeError:
        return interrupts
    return values[0] if len(values) == 1 else values if values else MISSING


_REASONING_KINDS: Final = {"reasoning": "reasoning", "thinking": "thinking", "reasoning_content": "reasoning_content"}


def _pieces(message: Any) -> list[tuple[str, str]]:
    """Give the texts of a message or of a piece of one, each with its channel."""
    content = message.content
    found: list[tuple[str, str]] = []
    extra = getattr(message, "additional_kwargs", None)
    if extra:
        for name, channel in (("reasoning_content", REASONING), ("refusal", REFUSAL)):
            if isinstance(extra.get(name), str):
                found.append((channel, extra[name]))
    if isinstance(content, str):
        if content:
            found.append((TEXT, content))
        return found
    for block in content or ():
        piece = (TEXT, block) if isinstance(block, str) else _block(block)
        if piece is not None:
            found.append(piece)
    return found


def _block(block: Any) -> tuple[str, str] | None:
    """Give the text of a content block, as the providers write them."""
    if not isinstance(block, Mapping):
        return None
    kind = block.get("type")
    if kind in ("text", "output_text") and isinstance(block.get("text"), str):
        return TEXT, block["text"]
    if kind == "refusal" and isinstance(block.get("refusal"), str):
        return REFUSAL, block["refusal"]
    told = block.get(_REASONING_KINDS[kind]) if kind in _REASONING_KINDS else None
    if isinstance(told, Mapping):  # Bedrock
        told = told.get("text")
    if isinstance(told, str):
        return REASONING, told
    if kind == "reasoning" and isinstance(block.get("summary"), list):
        return REASONING, "".join(str(part.get("text", "")) for part in block["summary"] if isinstance(part, Mapping))
    return None


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else str(content)


def _tell_usage(run: ModelRun, told: Any, output: Mapping[str, Any]) -> None:
    """Tell the tokens of a call: as LangChain counts them, or else as the provider does."""
    if told:
        read, written = told.get("input_token_details") or {}, told.get("output_token_details") or {}
        run.usage(
            told.get("input_tokens") or 0,
            told.get("output_tokens") or 0,
            cached_input_tokens=read.get("cache_read") or 0,
            cache_write_tokens=read.get("cache_creation") or 0,
            reasoning_tokens=written.get("reasoning") or 0,
        )
        return
    counts = output.get("token_usage") or output.get("usage")
    if isinstance(counts, Mapping) and counts:
        run.usage(
            counts.get("prompt_tokens") or counts.get("input_tokens") or 0,
            counts.get("completion_tokens") or counts.get("output_tokens") or 0,
        )


def _result(output: Any, call_id: str) -> Any:
    """Give the message for the model out of what a tool returned, if there is one."""
    if type(output).__name__ != "Command":
        return output
    update = getattr(output, "update", None)
    messages = update.get("messages") if isinstance(update, Mapping) else None
    for message in messages if isinstance(messages, list) else ():
        if getattr(message, "tool_call_id", None) == call_id:
            return message
    return output


__all__ = ["StopRequested", "TidingsCallbackHandler"]
