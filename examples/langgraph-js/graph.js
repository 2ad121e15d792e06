/** The agent: a graph with a model, a tool, a choice between ways, and a way for what goes wrong. */

import { dispatchCustomEvent } from "@langchain/core/callbacks/dispatch";
import { AIMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { ScriptedModel } from "./model.js";

const WEATHER = { Oslo: "sunny in Oslo", Rome: "raining in Rome" };

const weather = tool(
  async ({ city }, config) => {
    await dispatchCustomEvent("looking", { city }, config);
    await new Promise((resolve) => setTimeout(resolve, 200));
    if (!(city in WEATHER)) throw new Error(`no weather station in ${city}`);
    return WEATHER[city];
  },
  {
    name: "weather",
    description: "Tells the weather in a city.",
    schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
);

/** Calls the tools that the model asks for, or ends. */
const afterAgent = ({ messages }) => (messages.at(-1).tool_calls?.length ? "tools" : END);

/** Lets the model answer, unless a tool failed. */
const afterTools = ({ messages }) => (messages.some((m) => m.type === "tool" && m.status === "error") ? "apologise" : "agent");

/** @param {number} paceMs  of the model, between two words */
export function build(paceMs) {
  const model = new ScriptedModel(paceMs);
  return new StateGraph(MessagesAnnotation)
    .addNode("agent", async ({ messages }, config) => ({ messages: [await model.invoke(messages, config)] }))
    .addNode("tools", new ToolNode([weather]))
    .addNode("apologise", () => ({ messages: [new AIMessage("I am sorry: I could not look that up.")] }))
    .addEdge(START, "agent")
    .addConditionalEdges("agent", afterAgent, ["tools", END])
    .addConditionalEdges("tools", afterTools, ["agent", "apologise"])
    .addEdge("apologise", END)
    .compile();
}
