"""Run a LangGraph agent as jobs that anyone may watch while they run; see README.md."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import server
from graph import build

import tidings
from tidings.langchain import TidingsCallbackHandler

QUESTIONS = [
    "How is the weather in Oslo and Rome?",
    "How is the weather in Atlantis?",  # the tool fails; the graph has a way for that
    "Please break off.",  # the model's stream fails, and so does the job
]


def ask(graph: object, publisher: tidings.Publisher, job_id: str, question: str) -> None:
    """Run the graph once, as a job. These lines are all that an agent needs."""
    handler = TidingsCallbackHandler(job_id, publisher, name=question, stream_models=True)
    try:
        graph.invoke(  # type: ignore[attr-defined]
            {"messages": [("user", question)]},
            config={"callbacks": [handler], "configurable": {"thread_id": job_id}},
        )
    except ConnectionError:
        pass  # the job has it
    handler.close()


@contextmanager
def watched(program: str | None, url: str, job_id: str) -> Iterator[None]:
    """Show the job while it runs, as `tidings tail` does, or say how to."""
    if program is None:
        print(f"watch it:  tidings tail {job_id} --url {url}\n", flush=True)
        yield
        return
    print(f"$ tidings tail {job_id}", flush=True)
    tail = subprocess.Popen([program, "tail", job_id, "--url", url])
    try:
        yield
        tail.wait(60)
    finally:
        tail.terminate()
        print(flush=True)


def main() -> None:
    """Ask each question in a job of its own."""
    options = argparse.ArgumentParser(description="Publishes to the server at TIDINGS_URL, or to one that it starts.")
    options.add_argument("questions", nargs="*", default=QUESTIONS, help="with Oslo, Rome, Atlantis, or 'break off'")
    options.add_argument("--pace", type=float, default=0.08, help="seconds between two words of the model (0.08)")
    asked = options.parse_args()
    url = os.environ.get("TIDINGS_URL")
    if url:
        run(asked.questions, asked.pace, url, None)
        return
    with server.started() as (url, program):
        print(f"a server is started for this: {url}\n", flush=True)
        run(asked.questions, asked.pace, url, program)


def run(questions: list[str], pace: float, url: str, program: str | None) -> None:
    """Ask the questions one after the other."""
    graph = build(pace)
    with tidings.HTTPPublisher(url) as publisher:
        for question in questions:
            job_id = f"weather-{uuid.uuid4().hex[:8]}"
            with watched(program, url, job_id):
                ask(graph, publisher, job_id, question)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
