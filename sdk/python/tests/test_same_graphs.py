"""The same graphs in Python and in JavaScript publish the same events.

`sdk/testdata/graphs.json` holds what each scenario gives, without IDs, times and the kinds of errors, which the
languages name differently; `sdk/js/test/same.test.js` plays the same scenarios. With UPDATE_GOLDEN=1 this test
writes the file anew.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graphs import Items
from graphs import ScriptedModel as Scripted
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.cache.memory import InMemoryCache
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import CachePolicy, Command, RetryPolicy, Send, interrupt

from tidings.langchain import TidingsCallbackHandler
from tidings.memory import MemoryPublisher

GOLDEN = Path(__file__).parents[2] / "testdata" / "graphs.json"

# --- the parts of the graphs, as sdk/js/test/same.test.js has them ---


class ScriptedModel(Scripted):
    """Says pieces of text, and then asks for tools or fails."""

    def _chunks(self) -> list[Any]:
        answer = self._next()
        chunks: list[Any] = [AIMessageChunk(piece) for piece in answer.get("pieces", ())]
        if "fails" in answer:
            return [*chunks, RuntimeError(answer["fails"])]
        calls = [
            {"name": c["name"], "args": json.dumps(c["args"]), "id": c["id"], "index": i}
            for i, c in enumerate(answer.get("calls", ()))
        ]
        usage: Any = {
            "input_tokens": 10, "output_tokens": 3, "total_tokens": 13,
            "input_token_details": {"cache_read": 4}, "output_token_details": {"reasoning": 1},
        }  # fmt: skip
        about = {"finish_reason": "tool_calls" if calls else "stop"}
        chunks.append(AIMessageChunk("", tool_call_chunks=calls, usage_metadata=usage, response_metadata=about))
        return chunks

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        first, *rest = self._chunks()
        for chunk in rest:
            first = first + chunk
        return ChatResult(generations=[ChatGeneration(message=first)])


@tool
def get_weather(city: str) -> str:
    """Tell the weather."""
    if city == "Nowhere":
        raise ValueError("city not found")
    return f"sunny in {city}"


@tool
def ask_human(q: str) -> str:
    """Ask."""
    return "said " + str(interrupt({"q": q}))


def agent(script: list[Any], tools: Any = (get_weather,), handle: bool = True, **options: Any) -> Any:
    model = ScriptedModel(script=script)

    def ask(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        first, *rest = model.stream(state["messages"], config)
        for chunk in rest:
            first = first + chunk
        return {"messages": [first]}

    def after(state: MessagesState) -> str:
        return "tools" if state["messages"][-1].tool_calls else END  # type: ignore[union-attr]

    graph = StateGraph(MessagesState)
    graph.add_node("agent", ask)
    graph.add_node("tools", ToolNode(list(tools), handle_tool_errors=handle))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", after, ["tools", END])
    graph.add_edge("tools", "agent")
    return graph.compile(**options)


def graph_of(nodes: dict[str, Any], edges: list[tuple[str, Any]], **options: Any) -> Any:
    """Build a graph; a node may come with its settings, and an edge be a function."""
    graph = StateGraph(Items)
    for name, node in nodes.items():
        node, settings = node if isinstance(node, tuple) else (node, {})
        graph.add_node(name, node, **settings)
    for begin, end in edges:
        if callable(end):
            graph.add_conditional_edges(begin, end)
        else:
            graph.add_edge(begin, end)
    return graph.compile(**options)


def add(item: Any) -> Callable[[Items], Items]:
    return lambda state: {"items": [item]}


def fail(text: str) -> Callable[[Any], Any]:
    def node(state: Any) -> Any:
        raise ValueError(text)

    return node


def one(node_name: str, node: Any, **options: Any) -> Any:
    return graph_of({node_name: node}, [(START, node_name), (node_name, END)], **options)


def calling(name: str, args: Any) -> list[Any]:
    calls = [{"id": "c1", "name": name, "args": args}]
    return [{"pieces": ["Let me ", "look."], "calls": calls}, {"pieces": ["It ", "is ", "sunny"]}]


class Library(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document("text", metadata={"n": 1})]


HI: Any = {"messages": [HumanMessage("hi", id="h")]}
NONE: Any = {"items": []}

# --- the scenarios: each is given what a user gives, and the handler ---

SCENARIOS: dict[str, Callable[[Any, TidingsCallbackHandler], Any]] = {}
PARALLEL = {"fan_out", "two_interrupts"}  # compared run by run, in any order
OPTIONS: dict[str, dict[str, Any]] = {"silent_model": {"stream_models": True}}


def scenario(run: Callable[[Any, TidingsCallbackHandler], Any]) -> None:
    SCENARIOS[run.__name__] = run


@scenario
def agent_with_tool(c: Any, h: Any) -> None:
    agent(calling("get_weather", {"city": "Oslo"})).invoke(HI, c)


@scenario
def agent_events(c: Any, h: Any) -> None:
    async def run() -> None:
        async for _ in agent(calling("get_weather", {"city": "Oslo"})).astream_events(HI, c, version="v2"):
            pass

    asyncio.run(run())


@scenario
def tool_error(c: Any, h: Any) -> None:
    agent(calling("get_weather", {"city": "Nowhere"})).invoke(HI, c)


@scenario
def tool_error_climbs(c: Any, h: Any) -> None:
    agent(calling("get_weather", {"city": "Nowhere"}), handle=False).invoke(HI, c)


@scenario
def model_breaks(c: Any, h: Any) -> None:
    agent([{"pieces": ["It "], "fails": "stream broke"}]).invoke(HI, c)


@scenario
def fallback(c: Any, h: Any) -> None:
    def ask(state: Items, config: RunnableConfig) -> Items:
        model = ScriptedModel(script=[{"fails": "down"}]).with_fallbacks([ScriptedModel(script=[{"pieces": ["b"]}])])
        return {"items": [piece.content for piece in model.stream("x", config) if piece.content]}

    one("ask", ask).invoke(NONE, c)


@scenario
def silent_model(c: Any, h: Any) -> None:
    def ask(state: Items, config: RunnableConfig) -> Items:
        loud, silent = ScriptedModel(script=[{"pieces": ["a"]}]), ScriptedModel(script=[{"pieces": ["b"]}])
        return {"items": [m.invoke("x", config).content for m in (loud, silent.with_config(tags=["nostream"]))]}

    one("ask", ask).invoke(NONE, c)


@scenario
def subgraph(c: Any, h: Any) -> None:
    def inner(state: Items) -> Items:
        dispatch_custom_event("progress", {"pct": 50})
        return {"items": ["inner"]}

    nodes = {"plan": add("plan"), "sub": one("inner", inner), "join": add("join")}
    graph_of(nodes, [(START, "plan"), ("plan", lambda s: "sub"), ("sub", "join"), ("join", END)]).invoke(NONE, c)


@scenario
def fan_out(c: Any, h: Any) -> None:
    nodes = {"plan": add("plan"), "work": lambda s: {"items": [s["items"][0] * 2]}}
    sends = [Send("work", {"items": [i]}) for i in range(3)]
    graph_of(nodes, [(START, "plan"), ("plan", lambda s: sends), ("work", END)]).invoke(NONE, c)


@scenario
def interrupted(c: Any, h: Any) -> None:
    nodes = {"ask": lambda s: {"items": [interrupt({"question": "go on?"})]}, "after": add("after")}
    graph = graph_of(nodes, [(START, "ask"), ("ask", "after"), ("after", END)], checkpointer=InMemorySaver())
    graph.invoke(NONE, c)
    graph.invoke(Command(resume="yes"), c)


@scenario
def two_interrupts(c: Any, h: Any) -> None:
    nodes = {"a": lambda s: {"items": [interrupt("a?")]}, "b": lambda s: {"items": [interrupt("b?")]}}
    edges: Any = [(START, "a"), (START, "b"), ("a", END), ("b", END)]
    graph = graph_of(nodes, edges, checkpointer=InMemorySaver())
    graph.invoke(NONE, c)
    waiting = graph.get_state({"configurable": c["configurable"]}).interrupts
    graph.invoke(Command(resume={i.id: "yes" for i in waiting}), c)


@scenario
def breakpoint_before(c: Any, h: Any) -> None:
    edges: Any = [(START, "one"), ("one", "two"), ("two", END)]
    nodes = {"one": add(1), "two": add(2)}
    graph = graph_of(nodes, edges, checkpointer=InMemorySaver(), interrupt_before=["two"])
    graph.invoke(NONE, c)
    graph.invoke(None, c)


@scenario
def nested_interrupt(c: Any, h: Any) -> None:
    inner = one("ask", lambda s: {"items": [interrupt("q")]}, checkpointer=True)
    graph = one("outer", inner, checkpointer=InMemorySaver())
    graph.invoke(NONE, c)
    graph.invoke(Command(resume="yes"), c)


@scenario
def tool_interrupt(c: Any, h: Any) -> None:
    graph = agent(calling("ask_human", {"q": "who?"}), tools=[ask_human], checkpointer=InMemorySaver())
    graph.invoke(HI, c)
    graph.invoke(Command(resume="ann"), c)


@scenario
def hand_over(c: Any, h: Any) -> None:
    child = graph_of(
        {"triage": lambda s: Command(goto="billing", graph=Command.PARENT, update={"items": ["over"]})},
        [(START, "triage")],
    )
    nodes = {"front": (child, {"destinations": ("billing",)}), "billing": add("billed")}
    graph_of(nodes, [(START, "front"), ("billing", END)]).invoke(NONE, c)


@scenario
def node_error(c: Any, h: Any) -> None:
    graph_of({"a": add("a"), "bad": fail("no luck")}, [(START, "a"), ("a", "bad"), ("bad", END)]).invoke(NONE, c)


@scenario
def nested_error(c: Any, h: Any) -> None:
    one("sub", one("bad", fail("deep down"))).invoke(NONE, c)


@scenario
def edge_error(c: Any, h: Any) -> None:
    graph_of({"a": add("a")}, [(START, "a"), ("a", fail("edge broke"))]).invoke(NONE, c)


@scenario
def retried(c: Any, h: Any) -> None:
    tries: list[int] = []

    def flaky(state: Items) -> Items:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError(f"flaky {len(tries)}")
        return {"items": ["ok"]}

    policy = RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=3, retry_on=lambda e: True)
    one("flaky", (flaky, {"retry_policy": policy})).invoke(NONE, c)


@scenario
def cached(c: Any, h: Any) -> None:
    nodes = {"a": (add("a"), {"cache_policy": CachePolicy()}), "b": add("b")}
    graph = graph_of(nodes, [(START, "a"), ("a", "b"), ("b", END)], cache=InMemoryCache())
    graph.invoke(NONE)
    graph.invoke(NONE, c)


@scenario
def named(c: Any, h: Any) -> None:
    one("a", add("a"), name="my graph").invoke(NONE, {**c, "run_name": "call me"})


@scenario
def chain(c: Any, h: Any) -> None:
    steps = [RunnableLambda(lambda x: {"n": x["n"] + 1}).with_config(run_name=name) for name in ("one", "two")]
    (steps[0] | steps[1]).invoke({"n": 3}, c)


@scenario
def graph_in_chain(c: Any, h: Any) -> None:
    (RunnableLambda(lambda x: NONE).with_config(run_name="prepare") | one("a", add("a"))).invoke({"n": 1}, c)


@scenario
def graph_in_node(c: Any, h: Any) -> None:
    inner = one("inner", add("x"))
    one("outer", lambda s, config: {"items": inner.invoke(NONE, config)["items"]}).invoke(NONE, c)


@scenario
def graph_in_tool(c: Any, h: Any) -> None:
    inner = one("inner", add("x"))

    @tool
    def deep(q: str, config: RunnableConfig) -> str:
        """Go deep."""
        return str(len(inner.invoke(NONE, config)["items"]))

    agent(calling("deep", {"q": "x"}), tools=[deep]).invoke(HI, c)


@scenario
def chain_in_node(c: Any, h: Any) -> None:
    steps = [RunnableLambda(lambda x: x).with_config(run_name=name) for name in ("one", "two")]
    one("outer", lambda s, config: {"items": [(steps[0] | steps[1]).invoke({"n": 1}, config)["n"]]}).invoke(NONE, c)


@scenario
def retriever_in_node(c: Any, h: Any) -> None:
    one("look", lambda s, config: {"items": [len(Library().invoke("q", config))]}).invoke(NONE, c)


@scenario
def retriever_alone(c: Any, h: Any) -> None:
    Library().invoke("q", c)


@scenario
def tool_alone(c: Any, h: Any) -> None:
    call: Any = {"type": "tool_call", "id": "c9", "name": "get_weather", "args": {"city": "Oslo"}}
    get_weather.invoke({"city": "Oslo"}, c)
    get_weather.invoke(call, c)


@scenario
def odd_values(c: Any, h: TidingsCallbackHandler) -> None:
    cycle: Any = {"a": 1}
    cycle["self"] = cycle
    odd = {"nan": float("nan"), "inf": float("-inf"), "bytes": b"\x00\xff", "none": None, "small": 1.5, "set": {1}}
    for value in (odd, cycle, "a\ud800b \U0001f600", "x" * 70_000, ["é" * 70_000], 2**53, "", [], {}):
        h.job.custom("odd", value)
    h.job.end({"ok": True})


# --- comparing ---

UUID = re.compile("(?:lc_)?(?:run-+)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?:-[0-9]+)?")
ERROR_TEXT = re.compile(r"Error: .*?Please fix your mistakes\.", re.DOTALL)  # ToolNode's own words


def plain(value: Any) -> Any:
    """Give a value without what languages have differently."""
    if isinstance(value, dict):
        kept = {k: plain(v) for k, v in value.items()}
        if "page_content" in kept:
            kept["pageContent"] = kept.pop("page_content")
        return kept
    if isinstance(value, list):
        return [plain(v) for v in value]
    if not isinstance(value, str):
        return value
    return f"{value[:20]}… {len(value)} characters" if len(value) > 1000 else ERROR_TEXT.sub("Error: …", value)


def comparable(events: list[Any], parallel: bool) -> list[Any]:
    """Give events without IDs and times, the deltas of a stream as one."""
    told: list[list[Any]] = []
    for event in events:
        data = {k: plain(v) for k, v in event.data.items() if not k.endswith("_ms") and k != "error_kind"}
        if event.type == "error":
            data.pop("kind", None)
        if data.get("status") == "resumed" and parallel:
            data.pop("value")  # has IDs of interrupts
        last = told[-1][1] if told else {}
        if data.get("status") == last.get("status") == "delta" and data["run_id"] == last["run_id"]:
            last["delta"] += data["delta"]
        else:
            told.append([event.type, data])
    if not parallel:
        return numbered(told)
    runs: dict[Any, list[Any]] = {}
    for kind, data in told:
        runs.setdefault(data.get("run_id"), []).append([kind, data])
    return sorted((numbered(run) for run in runs.values()), key=json.dumps)


def numbered(told: list[Any]) -> list[Any]:
    names: dict[str, str] = {}
    text = json.dumps(told, sort_keys=True, ensure_ascii=False)
    found: list[Any] = json.loads(UUID.sub(lambda m: names.setdefault(m.group()[-36:], f"#{len(names)}"), text))
    return found


def golden() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(GOLDEN.read_text("utf-8")) if GOLDEN.exists() else {}
    return told


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_graph_gives_the_same_events_in_all_languages(name: str) -> None:
    with MemoryPublisher() as publisher:
        handler = TidingsCallbackHandler("job", publisher, **OPTIONS.get(name, {}))
        try:
            SCENARIOS[name]({"callbacks": [handler], "configurable": {"thread_id": "job"}}, handler)
        except (ValueError, RuntimeError):
            assert name.endswith(("error", "climbs", "breaks"))
        assert handler.flush(60)
        got = comparable(publisher.events("job"), name in PARALLEL)
        assert handler.job.strays == 0
        handler.close()
    if os.environ.get("UPDATE_GOLDEN"):
        all_of_them = {**golden(), name: got}
        text = ",\n".join(
            f'{json.dumps(n)}: [\n' + ",\n".join(json.dumps(e, ensure_ascii=False) for e in all_of_them[n]) + "\n]"
            for n in SCENARIOS
            if n in all_of_them
        )
        GOLDEN.write_text("{\n" + text + "\n}\n", "utf-8")
    assert got == golden()[name]


def test_every_scenario_of_the_file_is_played() -> None:
    assert list(golden()) == list(SCENARIOS)
