"""Graphs for the tests: real LangGraph, models that say what their script says."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, TypedDict

from langchain_core.callbacks import CallbackManagerForLLMRun, dispatch_custom_event
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


class ScriptedModel(BaseChatModel):
    """Answers with the next message of its script; streams it piece by piece.

    A piece that is an exception breaks the stream off there; a function is called.
    """

    script: list[Any]
    spoken: int = 0
    model_name: str = "scripted-1"

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def _next(self) -> Any:
        self.spoken += 1
        return self.script[self.spoken - 1]

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        answer = self._next()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, list):
            whole = answer[0]
            for piece in answer[1:]:
                whole = whole + piece
            answer = AIMessage(whole.content, tool_calls=whole.tool_calls)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: Any = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for piece in self._chunks():
            if isinstance(piece, Exception):
                raise piece
            if callable(piece):
                piece()
                continue
            chunk = ChatGenerationChunk(message=piece)
            if run_manager:
                run_manager.on_llm_new_token(str(piece.content), chunk=chunk)
            yield chunk

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for piece in self._chunks():
            if isinstance(piece, Exception):
                raise piece
            if callable(piece):
                piece()
                continue
            chunk = ChatGenerationChunk(message=piece)
            if run_manager:
                await run_manager.on_llm_new_token(str(piece.content), chunk=chunk)
            yield chunk

    def _chunks(self) -> list[Any]:
        answer = self._next()
        if isinstance(answer, list):
            return answer
        if isinstance(answer, Exception):
            return [answer]
        words = str(answer.content).split(" ")
        pieces: list[Any] = [AIMessageChunk(word if i == 0 else f" {word}") for i, word in enumerate(words)]
        pieces[-1].usage_metadata = answer.usage_metadata
        pieces[-1].response_metadata = answer.response_metadata
        if answer.tool_calls:
            call = answer.tool_calls[0]
            pieces.append(
                AIMessageChunk(
                    "", tool_call_chunks=[{"name": call["name"], "args": '{"x":', "id": call["id"], "index": 0}]
                )
            )
            pieces.append(
                AIMessageChunk(
                    "", tool_call_chunks=[{"name": None, "args": f"{call['args']['x']}}}", "id": None, "index": 0}]
                )
            )
        return pieces


@tool
def double(x: int) -> int:
    """Double a number up to five."""
    if x > 5:
        raise ValueError(f"{x} is too large")
    dispatch_custom_event("doubling", {"x": x})
    return 2 * x


def calls(x: int, call_id: str) -> AIMessage:
    """Make the message of a model that asks for `double`."""
    return AIMessage("", tool_calls=[{"name": "double", "args": {"x": x}, "id": call_id}])


SCRIPT: list[Any] = [
    calls(3, "c1"),
    calls(9, "c2"),
    AIMessage(
        "It is six",
        usage_metadata={
            "input_tokens": 30,
            "output_tokens": 4,
            "total_tokens": 34,
            "input_token_details": {"cache_read": 20},
            "output_token_details": {"reasoning": 1},
        },
        response_metadata={"finish_reason": "stop", "model_name": "scripted-1"},
    ),
]


def agent(script: list[Any] | None = None, checkpointer: Any = None, **options: Any) -> Any:
    """Build the graph agent → tools → agent with a model that follows the script."""
    model = ScriptedModel(script=script or SCRIPT)

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    async def aask(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"], config)]}  # Python 3.10 does not pass it on

    graph = StateGraph(MessagesState)
    graph.add_node("agent", aask if options.get("is_async") else ask)
    graph.add_node("tools", ToolNode([double], handle_tool_errors=True))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", tools_condition)
    graph.add_edge("tools", "agent")
    return graph.compile(checkpointer=checkpointer)


class Items(TypedDict):
    """A state that only grows."""

    items: Annotated[list[Any], operator.add]


def chain_of(*nodes: Any, **options: Any) -> Any:
    """Build a graph of nodes one after the other."""
    graph = StateGraph(Items)
    last = START
    for node in nodes:
        name = getattr(node, "__name__", None) or node.name
        graph.add_node(name, node)
        graph.add_edge(last, name)
        last = name
    return graph.compile(**options)
