"""The Celery application: its one task runs the LangGraph agent of the example beside this one."""

from __future__ import annotations

import os

from celery import Celery, Task
from graph import build

import tidings
from tidings.langchain import TidingsCallbackHandler

app = Celery("app", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_hijack_root_logger = False

PACE = 0.15  # seconds between two words of the scripted model


@app.task(bind=True)
def ask(self: Task, question: str, pace: float = PACE) -> str:
    """Answer a question. What the agent does is told by the callback handler, in the job that is the task's ID.

    The handler ends the job only with an answer. What else may become of the task, a
    retry, an error, being killed, is told by the server, which hears it from Celery.
    """
    publisher = tidings.HTTPPublisher(os.environ["TIDINGS_URL"])
    handler = TidingsCallbackHandler(self.request.id, publisher, name=question, stream_models=True, automatic=False)
    try:
        state = build(pace).invoke({"messages": [("user", question)]}, config={"callbacks": [handler]})
        answer = str(state["messages"][-1].content)
        handler.job.end(answer)
        return answer
    finally:
        handler.close()
        publisher.close()
