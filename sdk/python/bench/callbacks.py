"""How long a callback keeps the agent's thread.

    python bench/callbacks.py [calls] [--url http://127.0.0.1:8080]

Plays the callbacks of a LangGraph step, as LangGraph makes them, over and over:
node start, model start, twenty tokens, model end, tool start, tool end, node end;
and the same by hand. It times each call on the thread that makes it, while the
sender's thread sends what is queued. Without a URL a publisher in memory takes it.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage  # noqa: E402
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult  # noqa: E402

import tidings  # noqa: E402
from tidings.langchain import TidingsCallbackHandler  # noqa: E402

STATE = {
    "messages": [
        HumanMessage("What will the weather be in Oslo tomorrow, and what should I wear?", id="1"),
        AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo", "day": 1}, "id": "c1"}], id="2"),
        ToolMessage("Sunny, 21 °C, a light breeze from the south", tool_call_id="c1", name="weather", id="3"),
    ]
}
ANSWER = AIMessage(
    "It will be sunny. A shirt will do.",
    id="4",
    tool_calls=[{"name": "weather", "args": {"city": "Oslo", "day": 2}, "id": "c2"}],
    usage_metadata={"input_tokens": 120, "output_tokens": 12, "total_tokens": 132},
    response_metadata={"finish_reason": "stop", "model_name": "scripted"},
)
RESULT = LLMResult(generations=[[ChatGeneration(message=ANSWER)]])
CHUNK = ChatGenerationChunk(message=AIMessageChunk(" sunny"))
NODE = {
    "langgraph_step": 1,
    "langgraph_node": "agent",
    "langgraph_checkpoint_ns": "agent:a4f44f63-e0f0-a273-b093-a6a1057d0ea5",
    "ls_integration": "langgraph",
}
TOKENS = 20


class Timed:
    """Calls, and how long each took in nanoseconds: by the clock, and of the thread's CPU time."""

    def __init__(self) -> None:
        self.taken: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def __call__(self, what: str, call: Any, /, *args: Any, **kwargs: Any) -> Any:
        used = time.thread_time_ns()
        began = time.perf_counter_ns()
        result = call(*args, **kwargs)
        took = time.perf_counter_ns() - began
        self.taken[what].append((took, time.thread_time_ns() - used))
        return result


def langgraph_step(timed: Timed, handler: TidingsCallbackHandler, n: int, root: UUID) -> None:
    """Make the callbacks of one step of a graph."""
    node, model, tool = (UUID(int=n * 4 + i) for i in (1, 2, 3))
    timed("on_chain_start, a node", handler.on_chain_start, None, STATE, run_id=node, parent_run_id=root,
          tags=["graph:step:1"], metadata=NODE, name="agent")  # fmt: skip
    timed("on_chat_model_start", handler.on_chat_model_start, {"id": ["x", "Chat"]}, [STATE["messages"]], run_id=model,
          parent_run_id=node, tags=["seq:step:1"], metadata=NODE, invocation_params={"model": "scripted"})  # fmt: skip
    for _ in range(TOKENS):
        timed("on_llm_new_token", handler.on_llm_new_token, " sunny", chunk=CHUNK, run_id=model, parent_run_id=node)
    timed("on_llm_end", handler.on_llm_end, RESULT, run_id=model, parent_run_id=node)
    timed("on_tool_start", handler.on_tool_start, {"name": "weather"}, "{}", inputs={"city": "Oslo", "day": 2},
          run_id=tool, parent_run_id=node, tool_call_id="c2", metadata=NODE)  # fmt: skip
    timed("on_tool_end", handler.on_tool_end, STATE["messages"][2], run_id=tool, parent_run_id=node)
    timed("on_chain_end, a node", handler.on_chain_end, {"messages": [ANSWER]}, run_id=node, parent_run_id=root)


def step_by_hand(timed: Timed, job: tidings.Handler) -> None:
    """Make the calls of one step by hand."""
    phase = timed("job.phase", job.phase, "plan", input={"n": 1})
    model = timed("job.model", job.model, "gpt", parent=phase)
    for _ in range(TOKENS):
        timed("model.delta", model.delta, " sunny")
    timed("model.end", model.end)
    tool = timed("job.tool", job.tool, "weather", "c2", {"city": "Oslo", "day": 2}, parent=phase)
    timed("tool.end", tool.end, "Sunny, 21 °C")
    timed("phase.end", phase.end)


def report(timed: Timed) -> None:
    """Print the times in microseconds. CPU time is what is left of noise on a busy machine."""
    print(f"| {'callback':<24} | {'calls':>7} | {'p50 µs':>7} | {'p99 µs':>7} | {'CPU p50':>7} | {'CPU p99':>7} |")
    print(f"|{'-' * 26}|{'-' * 8}:|{'-' * 8}:|{'-' * 8}:|{'-' * 8}:|{'-' * 8}:|")
    everything = [pair for taken in timed.taken.values() for pair in taken]
    for name, taken in [*timed.taken.items(), ("all", everything)]:
        figures = []
        for column in zip(*taken, strict=True):
            ranked = sorted(column)
            figures += [ranked[len(ranked) // 2] / 1e3, ranked[int(len(ranked) * 0.99)] / 1e3]
        columns = " | ".join(f"{figure:>7.1f}" for figure in figures)
        print(f"| {name:<24} | {len(taken):>7} | {columns} |")


def main() -> None:
    """Measure, and print a table for each way."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("steps", nargs="?", type=int, default=2000, help="how many steps are played (2000)")
    options.add_argument("--url", help="the server to publish to; none: memory")
    options.add_argument("--pause", type=float, default=0.0, help="seconds that the agent sleeps between two steps (0)")
    asked = options.parse_args()
    print(f"Python {platform.python_version()}, {asked.steps} steps, to {asked.url or 'memory'}\n")
    publisher: tidings.Publisher = tidings.HTTPPublisher(asked.url) if asked.url else tidings.MemoryPublisher()
    with publisher:
        by_hand, timed = Timed(), Timed()
        job = tidings.start(f"bench-{time.time_ns()}", publisher)
        handler = TidingsCallbackHandler(f"bench-graph-{time.time_ns()}", publisher)
        root = UUID(int=0)
        handler.on_chain_start(None, STATE, run_id=root, name="LangGraph", metadata=NODE, tags=[])
        for n in range(asked.steps):
            warm = n < asked.steps // 10
            step_by_hand(Timed() if warm else by_hand, job)
            langgraph_step(Timed() if warm else timed, handler, n, root)
            if asked.pause:
                time.sleep(asked.pause)
            elif n % 50 == 49:
                publisher.flush(60)  # the queue is not to be full
        job.end()
        handler.on_chain_end(STATE, run_id=root)
        assert job.close(60) and handler.close(60)
        assert publisher.stats.dropped == 0
    for table in (timed, by_hand):
        report(table)
        print()


if __name__ == "__main__":
    main()
