"""The agent: a graph with a model, a tool, a choice between ways, and a way for what goes wrong."""

from __future__ import annotations

import time
from typing import Any

from langchain_core.callbacks import dispatch_custom_event
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from model import ScriptedModel

WEATHER = {"Oslo": "sunny in Oslo", "Rome": "raining in Rome"}


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    dispatch_custom_event("looking", {"city": city})
    time.sleep(0.2)
    if city not in WEATHER:
        raise LookupError(f"no weather station in {city}")
    return WEATHER[city]


def after_agent(state: MessagesState) -> str:
    """Call the tools that the model asks for, or end."""
    last = state["messages"][-1]
    return "tools" if isinstance(last, AIMessage) and last.tool_calls else END


def after_tools(state: MessagesState) -> str:
    """Let the model answer, unless a tool failed."""
    failed = [m for m in state["messages"] if isinstance(m, ToolMessage) and m.status == "error"]
    return "apologise" if failed else "agent"


def apologise(state: MessagesState) -> dict[str, Any]:
    """Answer without the model."""
    return {"messages": [AIMessage("I am sorry: I could not look that up.")]}


def build(pace: float) -> Any:
    """Build the graph; the model pauses for `pace` seconds between two words."""
    model = ScriptedModel(pace=pace)

    def agent(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("agent", agent)
    graph.add_node("tools", ToolNode([weather], handle_tool_errors=True))
    graph.add_node("apologise", apologise)
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", after_agent, ["tools", END])
    graph.add_conditional_edges("tools", after_tools, ["agent", "apologise"])
    graph.add_edge("apologise", END)
    return graph.compile()
