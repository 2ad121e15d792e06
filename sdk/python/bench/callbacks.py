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
import statistics
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
    """Calls, and how long each took in nanoseconds."""

    def __init__(self) -> None:
        self.taken: dict[str, list[int]] = defaultdict(list)

    def __call__(self, what: str, call: Any, /, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter_ns()
        result = call(*args, **kwargs)
        self.taken[what].append(time.perf_counter_ns() - began)
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
    """Print the times in microseconds."""
    print(f"| {'callback':<24} | {'calls':>7} | {'p50 µs':>7} | {'p99 µs':>7} | {'max µs':>8} |")
    print(f"|{'-' * 26}|{'-' * 8}:|{'-' * 8}:|{'-' * 8}:|{'-' * 9}:|")
    for name, taken in timed.taken.items():
        taken.sort()
        p50, p99 = statistics.median(taken), taken[int(len(taken) * 0.99)]
        print(f"| {name:<24} | {len(taken):>7} | {p50 / 1e3:>7.1f} | {p99 / 1e3:>7.1f} | {taken[-1] / 1e3:>8.1f} |")
    everything = sorted(ns for taken in timed.taken.values() for ns in taken)
    p50, p99 = everything[len(everything) // 2], everything[int(len(everything) * 0.99)]
    print(f"| {'all':<24} | {len(everything):>7} | {p50 / 1e3:>7.1f} | {p99 / 1e3:>7.1f} | {everything[-1] / 1e3:>8.1f} |")


def main() -> None:
    """Measure, and print a table for each way."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("steps", nargs="?", type=int, default=2000, help="how many steps are played (2000)")
    options.add_argument("--url", help="the server to publish to; none: memory")
    options.add_argument("--pause", type=float, default=0.001, help="seconds that the agent does something else in (0.001)")
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
            time.sleep(asked.pause)
        job.end()
        handler.on_chain_end(STATE, run_id=root)
        assert job.close(60) and handler.close(60)
        assert publisher.stats.dropped == 0
    for table in (timed, by_hand):
        report(table)
        print()


if __name__ == "__main__":
    main()
