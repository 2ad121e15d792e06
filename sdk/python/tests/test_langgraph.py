"""What a real LangGraph graph publishes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import pickle
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import run_python, wait_for
from graphs import Items, ScriptedModel, agent, calls, chain_of, double
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt
from outline import outline

from tidings.errors import FencedError
from tidings.langchain import StopRequested, TidingsCallbackHandler
from tidings.memory import MemoryPublisher, Stored

ASKED = {"messages": [HumanMessage("double three", id="h")]}


@pytest.fixture
def publisher() -> Iterator[MemoryPublisher]:
    with MemoryPublisher(cancel_poll=0.01) as it:
        yield it  # type: ignore[misc]


def config(handler: TidingsCallbackHandler) -> Any:
    """Give what users of LangGraph write."""
    return {"callbacks": [handler], "configurable": {"thread_id": handler.job_id}}


def told(publisher: MemoryPublisher, handler: TidingsCallbackHandler) -> str:
    """Give what was published, without the values that only repeat the state."""
    assert handler.job.strays == 0
    return outline(_brief(e) for e in publisher.events(handler.job_id))


def _brief(event: Stored) -> Stored:
    data = {k: v for k, v in event.data.items() if not (k in ("input", "output") and "messages" in str(v))}
    return event._replace(data=data)


AGENT = """\
phase_update job started
  phase_update LangGraph started kind=graph
    phase_update agent started kind=node ns=['agent'] step=1
      thought started
      thought completed tool_calls=[{'call_id': 'c1', 'tool': 'double', 'input': {'x': 3}}]
    phase_update agent completed kind=node ns=['agent'] step=1
    phase_update tools started kind=node ns=['tools'] step=2
      tool_call double c1 input={'x': 3}
      custom doubling value={'x': 3}
      tool_result double c1 output=6
    phase_update tools completed kind=node ns=['tools'] step=2
    phase_update agent started kind=node ns=['agent'] step=3
      thought started
      thought completed tool_calls=[{'call_id': 'c2', 'tool': 'double', 'input': {'x': 9}}]
    phase_update agent completed kind=node ns=['agent'] step=3
    phase_update tools started kind=node ns=['tools'] step=4
      tool_call double c2 input={'x': 9}
      tool_result double c2 error_kind=ValueError error=9 is too large
    phase_update tools completed kind=node ns=['tools'] step=4
    phase_update agent started kind=node ns=['agent'] step=5
      thought started
      thought completed content=It is six finish_reason=stop usage={USAGE}
    phase_update agent completed kind=node ns=['agent'] step=5
  phase_update LangGraph completed kind=graph
done usage={USAGE}
""".replace(
    "{USAGE}", "{'input_tokens': 30, 'output_tokens': 4, 'cached_input_tokens': 20, 'reasoning_tokens': 1}"
)

STREAMED = AGENT.replace(
    "      thought completed content", '      thought delta text "It is six"\n      thought completed content'
)


def test_invoke_tells_nodes_models_and_tools_but_no_routers(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    agent().invoke(ASKED, config(handler))
    assert told(publisher, handler) == AGENT


def test_streaming_tells_tokens(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    for _ in agent().stream(ASKED, config(handler), stream_mode="messages"):
        pass
    assert told(publisher, handler) == STREAMED


def test_models_can_be_made_to_stream_although_the_agent_only_invokes(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher, stream_models=True)
    agent().invoke(ASKED, config(handler))
    assert told(publisher, handler) == STREAMED


@pytest.mark.parametrize("is_async", [True, False], ids=["async nodes", "sync nodes"])
def test_async_invoke_tells_the_same_in_order(publisher: MemoryPublisher, is_async: bool) -> None:
    if not is_async and sys.version_info < (3, 11):
        pytest.skip("before Python 3.11 LangGraph does not give sync nodes of an async run their callbacks")
    handler = TidingsCallbackHandler("job", publisher)
    asyncio.run(agent(is_async=is_async).ainvoke(ASKED, config(handler)))
    assert told(publisher, handler) == AGENT


def test_async_streaming_tells_tokens(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)

    async def run() -> None:
        async for _ in agent(is_async=True).astream(ASKED, config(handler), stream_mode=["messages", "updates"]):
            pass

    asyncio.run(run())
    assert told(publisher, handler) == STREAMED


def test_astream_events_tells_tokens(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)

    async def run() -> None:
        async for _ in agent(is_async=True).astream_events(ASKED, config(handler), version="v2"):
            pass

    asyncio.run(run())
    assert told(publisher, handler) == STREAMED


def test_sync_code_inside_a_running_event_loop(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)

    async def run() -> None:
        agent().invoke(ASKED, config(handler))

    asyncio.run(run())
    assert told(publisher, handler) == AGENT


def test_a_graph_in_another_thread(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    thread = threading.Thread(target=lambda: agent().invoke(ASKED, config(handler)))
    thread.start()
    thread.join()
    assert told(publisher, handler) == AGENT


def test_graphs_side_by_side_in_jobs_of_their_own(publisher: MemoryPublisher) -> None:
    handlers = [TidingsCallbackHandler(f"job-{i}", publisher) for i in range(8)]

    async def run() -> None:
        await asyncio.gather(*(agent(is_async=True).ainvoke(ASKED, config(h)) for h in handlers[:4]))

    with concurrent.futures.ThreadPoolExecutor() as pool:
        done = [pool.submit(agent().invoke, ASKED, config(h)) for h in handlers[4:]]
        asyncio.run(run())
        for future in done:
            future.result()
    assert [told(publisher, handler) for handler in handlers] == [AGENT] * 8


def test_several_roots_one_after_the_other_in_one_job(publisher: MemoryPublisher) -> None:
    with TidingsCallbackHandler("job", publisher) as handler:
        agent().invoke(ASKED, config(handler))
        agent().invoke(ASKED, config(handler))
    body = AGENT.splitlines()[1:-1]
    lines = told(publisher, handler).splitlines()
    assert lines[1:-1] == body + body
    assert lines[-1].startswith("done usage={'input_tokens': 60")


def test_a_batch_is_several_roots_in_one_job(publisher: MemoryPublisher) -> None:
    with TidingsCallbackHandler("job", publisher) as handler:
        graph = chain_of(_echo)
        graph.batch([{"items": [i]} for i in range(5)], config(handler))
    lines = told(publisher, handler).splitlines()
    assert sum("LangGraph started" in line for line in lines) == 5
    assert sum("LangGraph completed" in line for line in lines) == 5
    assert sum(line.startswith("done") for line in lines) == 1


def _echo(state: Items) -> Items:
    return {"items": [len(state["items"])]}


# --- errors ---


def test_an_error_is_told_once_and_ends_the_job(publisher: MemoryPublisher) -> None:
    def breaks(state: Items) -> Items:
        raise ValueError("boom")

    handler = TidingsCallbackHandler("job", publisher)
    with pytest.raises(ValueError, match="boom"):
        chain_of(breaks).invoke({"items": []}, config(handler))
    assert told(publisher, handler) == (
        "phase_update job started\n"
        "  phase_update LangGraph started kind=graph input={'items': []}\n"
        "    phase_update breaks started kind=node ns=['breaks'] step=1\n"
        "    phase_update breaks failed kind=node error_kind=ValueError ns=['breaks'] step=1 error=boom\n"
        "  phase_update LangGraph failed kind=graph error_kind=ValueError (told)\n"
        "error job fatal kind=ValueError error=boom (told)\n"
    )


def test_a_stream_that_breaks_midway(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    graph = agent([[AIMessageChunk("It "), AIMessageChunk("is "), ConnectionError("reset")]])
    with pytest.raises(ConnectionError):
        for _ in graph.stream(ASKED, config(handler), stream_mode="messages"):
            pass
    lines = told(publisher, handler).splitlines()
    assert lines[3:] == [
        "      thought started",
        '      thought delta text "It is "',
        "      error llm kind=ConnectionError error=reset",
        "    phase_update agent failed kind=node error_kind=ConnectionError ns=['agent'] step=1 (told)",
        "  phase_update LangGraph failed kind=graph error_kind=ConnectionError (told)",
        "error job fatal kind=ConnectionError error=reset (told)",
    ]


def test_a_model_error_that_is_survived_fails_nothing(publisher: MemoryPublisher) -> None:
    big = ScriptedModel(script=[ConnectionError("overloaded")])
    small = ScriptedModel(script=[AIMessage("yes")])

    def ask(state: Items) -> Items:
        return {"items": [big.with_fallbacks([small]).invoke("?").content]}

    handler = TidingsCallbackHandler("job", publisher)
    chain_of(ask).invoke({"items": []}, config(handler))
    lines = told(publisher, handler).splitlines()
    assert "      error llm kind=ConnectionError error=overloaded" in lines
    assert lines[-1] == "done output={'items': ['yes']}"


def test_a_tool_that_answers_with_an_error_message_has_failed(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    forgiving = double.model_copy(update={"handle_tool_error": True, "handle_validation_error": True})

    def use(state: Items) -> Items:
        call = {"name": "double", "args": {"x": "no number"}, "id": "c9", "type": "tool_call"}
        return {"items": [forgiving.invoke(call).status]}

    chain_of(use).invoke({"items": []}, config(handler))
    (result,) = [e for e in publisher.events("job") if e.type == "tool_result"]
    assert result.data["call_id"] == "c9"
    assert "error" in result.data
    assert "output" not in result.data


# --- interrupts and hand-overs ---


def _ask(state: Items) -> Items:
    return {"items": [interrupt({"question": "go?"})]}


def _other(state: Items) -> Items:
    return {"items": ["other"]}


def _nested(checkpointer: InMemorySaver) -> Any:
    inner = chain_of(_ask)
    graph = StateGraph(Items)
    graph.add_node("outer", inner)
    graph.add_edge(START, "outer")
    return graph.compile(checkpointer=checkpointer)


ASKS = """\
phase_update job started
  phase_update LangGraph started kind=graph input={'items': []}
    phase_update outer started kind=node ns=['outer'] step=1
      phase_update _ask started kind=node ns=['outer', '_ask'] step=1
      phase_update _ask interrupted kind=node ns=['outer', '_ask'] step=1 asks=[{'question': 'go?'}]
    phase_update outer interrupted kind=node ns=['outer'] step=1
  phase_update LangGraph interrupted kind=graph
"""

GOES_ON = """\
  phase_update LangGraph resumed kind=graph value=yes
    phase_update outer started kind=node ns=['outer'] step=1
      phase_update _ask started kind=node ns=['outer', '_ask'] step=1
      phase_update _ask completed kind=node ns=['outer', '_ask'] step=1 output={'items': ['yes']}
    phase_update outer completed kind=node ns=['outer'] step=1 output={'items': ['yes']}
  phase_update LangGraph completed kind=graph output={'items': ['yes']}
done output={'items': ['yes']}
"""


def test_an_interrupt_is_no_end_and_a_resume_goes_on(publisher: MemoryPublisher) -> None:
    graph = _nested(InMemorySaver())
    handler = TidingsCallbackHandler("job", publisher)
    graph.invoke({"items": []}, config(handler))
    assert told(publisher, handler) == ASKS
    graph.invoke(Command(resume="yes"), config(handler))
    assert told(publisher, handler) == ASKS + GOES_ON


def test_a_resume_in_another_process_goes_on_with_the_job(publisher: MemoryPublisher) -> None:
    graph = _nested(InMemorySaver())
    first = TidingsCallbackHandler("job", publisher)
    graph.invoke({"items": []}, config(first))
    assert first.close()
    second = TidingsCallbackHandler("job", publisher)
    graph.invoke(Command(resume="yes"), config(second))
    assert told(publisher, second) == ASKS + "phase_update job started\n" + GOES_ON


def test_a_breakpoint_is_an_interrupt(publisher: MemoryPublisher) -> None:
    graph = chain_of(_other, checkpointer=InMemorySaver(), interrupt_before=["_other"])
    handler = TidingsCallbackHandler("job", publisher)
    graph.invoke({"items": []}, config(handler))
    assert told(publisher, handler).splitlines()[-1] == "  phase_update LangGraph interrupted kind=graph asks=[{'status': 'interrupt_before'}]"
    graph.invoke(None, config(handler))
    lines = told(publisher, handler).splitlines()
    assert lines[3] == "  phase_update LangGraph resumed kind=graph"
    assert lines[-1].startswith("done")


def test_a_hand_over_to_the_parent_graph_is_no_error(publisher: MemoryPublisher) -> None:
    def hand(state: Items) -> Command[Any]:
        return Command(graph=Command.PARENT, goto="_other", update={"items": ["handed"]})

    graph = StateGraph(Items)
    graph.add_node("sub", chain_of(hand))
    graph.add_node("_other", _other)
    graph.add_edge(START, "sub")
    handler = TidingsCallbackHandler("job", publisher)
    graph.compile().invoke({"items": []}, config(handler))
    lines = told(publisher, handler).splitlines()
    assert lines[4:7] == [
        "      custom handoff value={'to': '_other'}",
        "      phase_update hand completed kind=node ns=['sub', 'hand'] step=1",
        "    phase_update sub completed kind=node ns=['sub'] step=1",
    ]
    assert lines[-1] == "done output={'items': ['handed', 'other']}"


def test_fan_out_over_send(publisher: MemoryPublisher) -> None:
    graph = StateGraph(Items)
    graph.add_node("work", _echo)
    graph.add_conditional_edges(START, lambda state: [Send("work", {"items": [0] * n}) for n in range(3)], ["work"])
    handler = TidingsCallbackHandler("job", publisher)
    graph.compile().invoke({"items": []}, config(handler))
    assert told(publisher, handler).count("work started kind=node ns=['work'] step=1") == 3
    assert told(publisher, handler).splitlines()[-1] == "done output={'items': [0, 1, 2]}"


# --- broken off ---


async def _slow(state: Items) -> Items:
    await asyncio.sleep(60)
    return {"items": []}


async def _cancel_when_slow(publisher: MemoryPublisher, handler: TidingsCallbackHandler, stop: bool) -> None:
    task = asyncio.create_task(chain_of(_slow).ainvoke({"items": []}, config(handler)))
    while not any(e.data.get("phase") == "_slow" for e in publisher._logs.get("job", ())):
        await asyncio.sleep(0.01)
    if stop:
        publisher.cancel("job", by="ann", reason="enough")
        asked = await handler.job.await_cancelled()
        assert asked is not None and asked.by == "ann"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_cancelled_task_is_aborted_if_nobody_asked(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    asyncio.run(_cancel_when_slow(publisher, handler, stop=False))
    assert told(publisher, handler).splitlines()[-1] == "error job fatal kind=aborted error=CancelledError (told)"


def test_a_cancelled_task_is_cancelled_if_somebody_asked(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    asyncio.run(_cancel_when_slow(publisher, handler, stop=True))
    assert told(publisher, handler).splitlines()[-1] == "cancelled by=ann reason=enough"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_request_to_stop_ends_the_agent_at_its_next_callback(publisher: MemoryPublisher, is_async: bool) -> None:
    def goes_on(state: Items) -> Items:
        publisher.cancel("job", by="ann")
        wait_for(lambda: handler.cancelled)
        return {"items": ["stopped too late"]}

    handler = TidingsCallbackHandler("job", publisher)
    graph = chain_of(goes_on, _other)
    with pytest.raises(StopRequested):
        if is_async:
            asyncio.run(graph.ainvoke({"items": []}, config(handler)))
        else:
            graph.invoke({"items": []}, config(handler))
    lines = told(publisher, handler).splitlines()
    assert lines[-1] == "cancelled by=ann"
    assert not any("_other completed" in line for line in lines)


def test_an_agent_may_ignore_the_request_to_stop(publisher: MemoryPublisher) -> None:
    def goes_on(state: Items) -> Items:
        publisher.cancel("job", by="ann")
        wait_for(lambda: handler.cancelled)
        return {"items": ["all the same"]}

    handler = TidingsCallbackHandler("job", publisher, raise_if_cancelled=False)
    chain_of(goes_on, _other).invoke({"items": []}, config(handler))
    assert told(publisher, handler).splitlines()[-1] == "done output={'items': ['all the same', 'other']}"


def test_a_stream_that_is_left_is_aborted(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    stream = agent([AIMessage("It is six")]).stream(ASKED, config(handler), stream_mode="messages")
    next(stream)
    stream.close()
    assert told(publisher, handler).splitlines()[-1] == "error job fatal kind=aborted error=GeneratorExit (told)"


def test_a_request_to_stop_breaks_off_a_stream_midway(publisher: MemoryPublisher) -> None:
    def stop() -> None:
        publisher.cancel("job", by="ann")
        wait_for(lambda: handler.cancelled)

    handler = TidingsCallbackHandler("job", publisher)
    graph = agent([[AIMessageChunk("a"), stop, AIMessageChunk("b"), AIMessageChunk("c")]])
    with pytest.raises(StopRequested):
        for _ in graph.stream(ASKED, config(handler), stream_mode="messages"):
            pass
    lines = told(publisher, handler).splitlines()
    assert lines[-1] == "cancelled by=ann"
    assert "      error llm kind=aborted error=the job was asked to stop by ann" in lines


def test_a_job_that_was_asked_to_stop_before_it_began(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    publisher.cancel("job", by="ann")
    wait_for(lambda: handler.cancelled)
    with pytest.raises(StopRequested):
        chain_of(_other).invoke({"items": []}, config(handler))
    assert told(publisher, handler).splitlines()[-1] == "cancelled by=ann"


def test_a_worker_whose_job_was_taken_over_stops(publisher: MemoryPublisher) -> None:
    def taken_over(state: Items) -> Items:
        publisher.open_job("job", epoch=handler.job._out.epoch + 1).emit("custom", '{"name":"mine"}')  # type: ignore[union-attr]
        wait_for(lambda: handler.job.should_stop)
        return {"items": []}

    handler = TidingsCallbackHandler("job", publisher)
    with pytest.raises(FencedError):
        chain_of(taken_over, _other).invoke({"items": []}, config(handler))
    assert publisher.events("job")[-1].data == {"name": "mine"}


# --- what else LangChain calls ---


def test_streams_of_content_blocks_tell_each_token_once(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    model = ScriptedModel(script=[AIMessage("It is six")])
    if not hasattr(model, "stream_events"):
        pytest.skip("this langchain-core has no stream_events")
    for _ in model.stream_events("?", version="v3", config=config(handler)):
        pass
    handler.job.end()
    assert '  thought delta text "It is six"\n' in told(publisher, handler)


def test_tasks_of_the_functional_api(publisher: MemoryPublisher) -> None:
    @task
    def add(x: int) -> int:
        return x + 1

    @entrypoint()
    def flow(x: int) -> int:
        return add(x).result() * 2

    handler = TidingsCallbackHandler("job", publisher)
    assert flow.invoke(3, config(handler)) == 8
    assert told(publisher, handler).splitlines()[2:6] == [
        "    phase_update flow started kind=node ns=['flow']",
        "      phase_update add started kind=node ns=['flow', 'add']",
        "      phase_update add completed kind=node ns=['flow', 'add'] output=4",
        "    phase_update flow completed kind=node ns=['flow'] output=8",
    ]


def test_a_node_that_is_tried_again(publisher: MemoryPublisher) -> None:
    tries: list[int] = []

    def flaky(state: Items) -> Items:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("flaky")
        return {"items": [1]}

    graph = StateGraph(Items)
    graph.add_node("flaky", flaky, retry_policy=RetryPolicy(initial_interval=0.001, max_attempts=3))
    graph.add_edge(START, "flaky")
    handler = TidingsCallbackHandler("job", publisher)
    graph.compile().invoke({"items": []}, config(handler))
    lines = told(publisher, handler).splitlines()
    assert [line.partition("step=1")[2] for line in lines if "flaky started" in line] == ["", " attempt=2", " attempt=3"]
    assert lines[-1].startswith("done")


def test_an_agent_within_a_tool(publisher: MemoryPublisher) -> None:
    @tool
    def ask_expert(question: str) -> str:
        """Ask another agent."""
        answer = agent([AIMessage("inner")]).invoke({"messages": [("user", question)]})
        return str(answer["messages"][-1].content)

    def use(state: Items) -> Items:
        return {"items": [ask_expert.invoke({"question": "?"})]}

    handler = TidingsCallbackHandler("job", publisher)
    chain_of(use).invoke({"items": []}, config(handler))
    lines = [line.partition(" kind=")[0] for line in told(publisher, handler).splitlines()]
    assert lines[4:6] == ["        phase_update agent started", "          thought started"]
    assert sum(line.startswith("done") for line in told(publisher, handler).splitlines()) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_graph_in_a_forked_worker() -> None:
    done = run_python(
        """
import os, sys
from graphs import agent
from outline import outline
from tidings.langchain import TidingsCallbackHandler
from tidings.memory import MemoryPublisher
publisher = MemoryPublisher()
TidingsCallbackHandler("of the parent", publisher).job.end()
assert publisher.flush(30)
child = os.fork()
if child == 0:
    handler = TidingsCallbackHandler("job", publisher)
    agent().invoke({"messages": [("user", "?")]}, {"callbacks": [handler]})
    handler.flush(30)
    print(outline(publisher.events("job")), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    )
    assert done.stdout.splitlines()[-2].startswith("done"), done.stdout + done.stderr


class Shelf(BaseRetriever):
    """Finds what it is told to."""

    found: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        if query == "nothing":
            raise LookupError("no such shelf")
        return self.found


def test_a_retriever(publisher: MemoryPublisher) -> None:
    shelf = Shelf(found=[Document("Oslofjord", metadata={"score": 0.9})])

    def look(state: Items) -> Items:
        try:
            shelf.invoke("nothing")
        except LookupError:
            pass
        return {"items": [shelf.invoke("fjords")[0].page_content]}

    handler = TidingsCallbackHandler("job", publisher)
    chain_of(look).invoke({"items": []}, config(handler))
    lines = told(publisher, handler).splitlines()
    assert lines[3:7] == [
        "      phase_update Shelf started kind=retriever input=nothing",
        "      phase_update Shelf failed kind=retriever error_kind=LookupError error=no such shelf",
        "      phase_update Shelf started kind=retriever input=fjords",
        "      phase_update Shelf completed kind=retriever "
        "output=[{'metadata': {'score': 0.9}, 'page_content': 'Oslofjord'}]",
    ]


def test_reasoning_and_refusal_have_channels_of_their_own(publisher: MemoryPublisher) -> None:
    pieces = [
        AIMessageChunk([{"type": "thinking", "thinking": "Hm. ", "index": 0}]),
        AIMessageChunk("", additional_kwargs={"reasoning_content": "So."}),
        AIMessageChunk([{"type": "text", "text": "It is ", "index": 1}]),
        AIMessageChunk([{"type": "text", "text": "six", "index": 1}]),
        AIMessageChunk([{"type": "refusal", "refusal": "No more.", "index": 2}]),
    ]
    handler = TidingsCallbackHandler("job", publisher)
    for _ in ScriptedModel(script=[pieces]).stream("?", config(handler)):
        pass
    handler.job.end()
    assert told(publisher, handler).splitlines()[2:] == [
        '  thought delta reasoning "Hm. So."',
        '  thought delta text "It is six"',
        '  thought delta refusal "No more."',
        "  thought completed content=It is six",
        "done",
    ]


def test_a_silent_model_tells_no_tokens(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    model = ScriptedModel(script=[AIMessage("for the graph alone")]).with_config(tags=["nostream"])
    for _ in model.stream("?", config(handler)):
        pass
    handler.job.end()
    assert "delta" not in told(publisher, handler)


def test_a_model_call_alone_does_not_end_the_job(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    model = ScriptedModel(script=[AIMessage("one"), AIMessage("two")])
    model.invoke("?", config(handler))
    model.invoke("?", config(handler))
    assert not handler.job.ended
    handler.job.end("both")
    assert told(publisher, handler).splitlines()[-1] == "done output=both"


def test_plain_chains_tell_their_steps(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    chain = RunnableLambda(lambda x: x + 1, name="add") | RunnableLambda(lambda x: x * 2, name="double")
    assert chain.invoke(1, config(handler)) == 4
    assert told(publisher, handler) == (
        "phase_update job started\n"
        "  phase_update RunnableSequence started kind=chain input=1\n"
        "    phase_update add started kind=chain input=1\n"
        "    phase_update add completed kind=chain output=2\n"
        "    phase_update double started kind=chain input=2\n"
        "    phase_update double completed kind=chain output=4\n"
        "  phase_update RunnableSequence completed kind=chain output=4\n"
        "done output=4\n"
    )


def test_a_graph_within_a_phase_of_the_program(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    with handler.job.phase("prepare"):
        chain_of(_other).invoke({"items": []}, config(handler))
    lines = told(publisher, handler).splitlines()
    assert lines[1:3] == [
        "  phase_update prepare started kind=chain",
        "    phase_update LangGraph started kind=graph input={'items': []}",
    ]
    assert lines[-1] == "done"


def test_without_a_publisher_the_agent_runs_unobserved() -> None:
    handler = TidingsCallbackHandler("job", None)
    agent().invoke(ASKED, config(handler))
    assert handler.close()


def test_values_are_snapshots_and_what_the_agent_has_stays_as_it_is(publisher: MemoryPublisher) -> None:
    given: dict[str, Any] = {"items": [{"n": 1}]}

    def change(state: Items) -> Items:
        given["items"][0]["n"] = 2
        return {"items": []}

    handler = TidingsCallbackHandler("job", publisher)
    chain_of(change).invoke(given, config(handler))
    started = publisher.events("job")[1]
    assert started.data["input"] == {"items": [{"n": 1}]}
    assert given == {"items": [{"n": 2}]}


def test_odd_states_never_reach_the_agent_as_errors(publisher: MemoryPublisher) -> None:
    class Evil:
        def __repr__(self) -> str:
            raise RuntimeError("no text")

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("no attribute")

    def odd(state: Items) -> Items:
        loop: list[Any] = []
        loop.append(loop)
        return {"items": [Evil(), loop, float("nan"), b"\xff", {(1, 2): {3}}, "\ud800", (i for i in "ab"), 10**5000]}

    handler = TidingsCallbackHandler("job", publisher)
    result = chain_of(odd).invoke({"items": []}, config(handler))
    assert list(result["items"][6]) == ["a", "b"]  # it was not consumed
    assert told(publisher, handler).splitlines()[-1].startswith("done")


class _Unlooked(type):
    @property
    def __mro__(cls) -> Any:
        raise RuntimeError("not to be looked at")


class _NoMro(Exception, metaclass=_Unlooked):
    pass


class _NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class _NoCause(Exception):
    __cause__ = property(lambda self: 1 / 0)  # type: ignore[assignment]


class _NoModule(Exception):
    __module__ = None  # type: ignore[assignment]


class _NoEqual(Exception):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not to be compared")

    def __hash__(self) -> int:
        raise RuntimeError("not to be hashed")


@pytest.mark.parametrize("kind", [_NoMro, _NoText, _NoModule, _NoEqual, KeyboardInterrupt, SystemExit, MemoryError])
def test_whatever_a_node_raises_ends_the_job_and_reaches_the_caller(
    publisher: MemoryPublisher, kind: type[BaseException]
) -> None:
    def node(state: Items) -> Items:
        raise kind("x")

    handler = TidingsCallbackHandler("job", publisher)
    with pytest.raises(kind):
        chain_of(node).invoke({"items": []}, config(handler))
    events = publisher.events("job")
    assert (events[-1].type, events[-1].data["fatal"]) == ("error", True)
    assert [e.data["status"] for e in events[:-1]] == ["started", "started", "started", "failed", "failed"]


def test_an_error_that_breaks_logging_does_not_reach_the_agent(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    run = handler.job.phase("plan")
    run.end(error=_NoCause("x"))
    handler.job.end(error=_NoCause("x"))
    assert [e.type for e in publisher.events("job")] == ["phase_update", "phase_update", "phase_update", "error"]


def test_outputs_of_tools_that_do_not_like_to_be_looked_at(publisher: MemoryPublisher) -> None:
    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(f"no {name}")

    @tool
    def odd() -> Any:
        """Give something odd."""
        return Odd()

    handler = TidingsCallbackHandler("job", publisher)
    odd.invoke({}, {"callbacks": [handler]})
    assert [e.type for e in publisher.events("job")][1:] == ["tool_call", "tool_result"]


def test_a_handler_that_is_given_twice_tells_everything_once(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    twice: Any = {**config(handler), "callbacks": [handler, handler]}
    graph = agent().with_config(callbacks=[handler])
    for _ in graph.stream(ASKED, twice, stream_mode="messages"):
        pass
    assert told(publisher, handler) == STREAMED


def test_a_handler_used_again_after_the_end_says_so(
    publisher: MemoryPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    handler = TidingsCallbackHandler("job", publisher)
    for _ in range(3):
        chain_of(_other).invoke({"items": []}, config(handler))
    assert [e.type for e in publisher.events("job")].count("done") == 1
    assert len([r for r in caplog.records if "each job needs a handler of its own" in r.getMessage()]) == 1


def test_a_handler_keeps_little_of_what_is_over(publisher: MemoryPublisher) -> None:
    handler = TidingsCallbackHandler("job", publisher, automatic=False)
    for _ in range(20):
        chain_of(_other).invoke({"items": ["x" * 50_000]}, config(handler))
    assert len(pickle.dumps([(r._output, r._tree) for r in handler._ended.values() if not r._is_root()])) < 100_000


def test_the_tool_call_id_is_found_by_an_older_langchain(publisher: MemoryPublisher) -> None:
    class Older(TidingsCallbackHandler):
        def on_tool_start(self, *args: Any, **told: Any) -> None:
            told.pop("tool_call_id", None)
            super().on_tool_start(*args, **told)

    handler = Older("job", publisher)
    agent([calls(3, "c1"), AIMessage("six")]).invoke(ASKED, config(handler))
    assert "tool_call double c1" in told(publisher, handler)


_WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def test_without_langchain_the_error_names_the_extra() -> None:
    done = run_python(_WITHOUT.format(package="langchain_core") + "import tidings\nimport tidings.langchain")
    assert done.returncode != 0
    assert "ImportError: tidings.langchain needs langchain-core" in done.stderr
    assert "pip install 'tidings[langchain]'" in done.stderr


def test_without_langgraph_chains_are_told() -> None:
    done = run_python(
        _WITHOUT.format(package="langgraph")
        + """
from langchain_core.runnables import RunnableLambda
from tidings.langchain import TidingsCallbackHandler
from tidings.memory import MemoryPublisher
publisher = MemoryPublisher()
RunnableLambda(lambda x: x + 1).invoke(1, {"callbacks": [TidingsCallbackHandler("job", publisher)]})
print([e.type for e in publisher.events("job")])
"""
    )
    assert done.stdout.strip() == "['phase_update', 'phase_update', 'phase_update', 'done']", done.stderr
