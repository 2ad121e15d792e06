/** Real graphs with a scripted model: no network. */

import { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { AIMessageChunk, ToolMessage } from "@langchain/core/messages";
import { ChatGenerationChunk } from "@langchain/core/outputs";
import { tool } from "@langchain/core/tools";
import { Annotation, END, MessagesAnnotation, START, StateGraph } from "@langchain/langgraph";
import { ToolNode } from "@langchain/langgraph/prebuilt";

/** A chat model that streams what its script says, one answer a call. */
export class ScriptedModel extends BaseChatModel {
  constructor(script) {
    super({});
    this.script = script;
    this.calls = 0;
  }

  _llmType() {
    return "scripted";
  }

  _invocationParams() {
    return { model: "scripted-1" };
  }

  invocationParams() {
    return this._invocationParams();
  }

  bindTools() {
    return this;
  }

  async *_streamResponseChunks(_messages, options, runManager) {
    const answer = this.script[this.calls++ % this.script.length];
    for (const piece of answer.pieces ?? []) {
      if (answer.pauseMs) await new Promise((resolve) => setTimeout(resolve, answer.pauseMs));
      options.signal?.throwIfAborted();
      const chunk = new ChatGenerationChunk({ text: piece, message: new AIMessageChunk({ content: piece }) });
      yield chunk;
      await runManager?.handleLLMNewToken(piece, undefined, undefined, undefined, undefined, { chunk });
    }
    if (answer.fails) throw new Error(answer.fails);
    const message = new AIMessageChunk({
      content: "",
      tool_call_chunks: (answer.calls ?? []).map((c, index) => ({ ...c, args: JSON.stringify(c.args), index, type: "tool_call_chunk" })),
      usage_metadata: { input_tokens: 10, output_tokens: 3, total_tokens: 13, input_token_details: { cache_read: 4 }, output_token_details: { reasoning: 1 } },
      response_metadata: { finish_reason: answer.calls ? "tool_calls" : "stop" },
    });
    const chunk = new ChatGenerationChunk({ text: "", message });
    yield chunk;
    await runManager?.handleLLMNewToken("", undefined, undefined, undefined, undefined, { chunk });
  }

  async _generate(messages, options, runManager) {
    let all;
    for await (const chunk of this._streamResponseChunks(messages, options, runManager)) all = all?.concat(chunk) ?? chunk;
    return { generations: [{ text: all.text, message: all.message }] };
  }
}

export const weather = tool(
  ({ city }) => {
    if (city === "Nowhere") throw new Error("city not found");
    return `sunny in ${city}`;
  },
  { name: "get_weather", description: "the weather", schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
);

/** START → agent → tools → agent → END. */
export function agent(model, { handleToolErrors = true, checkpointer } = {}) {
  return new StateGraph(MessagesAnnotation)
    .addNode("agent", async (state, config) => {
      let all;
      for await (const chunk of await model.stream(state.messages, config)) all = all?.concat(chunk) ?? chunk;
      return { messages: [all] };
    })
    .addNode("tools", new ToolNode([weather], { handleToolErrors }))
    .addEdge(START, "agent")
    .addConditionalEdges("agent", (state) => (state.messages.at(-1).tool_calls?.length ? "tools" : END))
    .addEdge("tools", "agent")
    .compile({ checkpointer });
}

/** A state with one list that nodes add to. */
export const Notes = Annotation.Root({
  notes: Annotation({ reducer: (a, b) => a.concat(b), default: () => [] }),
});

export { ToolMessage };
