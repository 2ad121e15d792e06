/** A chat model that needs no network: it reads what it should say off the question. */

import { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { AIMessageChunk } from "@langchain/core/messages";
import { ChatGenerationChunk } from "@langchain/core/outputs";

const CITIES = ["Oslo", "Rome", "Atlantis"];

/**
 * Asks for the weather of each city in the question, and then tells it, word by
 * word. A question with "break off" in it ends its stream with an error.
 */
export class ScriptedModel extends BaseChatModel {
  /** @param {number} paceMs  between two words */
  constructor(paceMs) {
    super({});
    this.paceMs = paceMs;
  }

  _llmType() {
    return "scripted";
  }

  async *pieces(messages) {
    const question = messages.find((m) => m.type === "human").content;
    const results = messages.filter((m) => m.type === "tool");
    const said = results.length > 0 ? `It is ${results.map((m) => m.content).join(" and ")}.` : "Let me look.";
    const cities = results.length > 0 ? [] : CITIES.filter((city) => question.includes(city));
    const words = said.split(" ");
    for (const [i, word] of words.entries()) {
      await new Promise((resolve) => setTimeout(resolve, this.paceMs));
      yield new AIMessageChunk(i === 0 ? word : ` ${word}`);
      if (i === 1 && question.includes("break off")) throw new Error("the model's server closed the connection");
    }
    const tool_call_chunks = cities.map((city, index) => ({ name: "weather", args: JSON.stringify({ city }), id: `call-${index}`, index, type: "tool_call_chunk" }));
    yield new AIMessageChunk({ content: "", tool_call_chunks });
    const [input_tokens, output_tokens] = [40 + 12 * results.length, words.length + 8 * cities.length];
    yield new AIMessageChunk({
      content: "",
      usage_metadata: { input_tokens, output_tokens, total_tokens: input_tokens + output_tokens },
      response_metadata: { finish_reason: cities.length > 0 ? "tool_calls" : "stop" },
    });
  }

  async *_streamResponseChunks(messages, _options, runManager) {
    for await (const message of this.pieces(messages)) {
      const chunk = new ChatGenerationChunk({ message, text: message.content });
      yield chunk;
      await runManager?.handleLLMNewToken(message.content, undefined, undefined, undefined, undefined, { chunk });
    }
  }

  async _generate(messages, options, runManager) {
    let whole;
    for await (const chunk of this._streamResponseChunks(messages, options, runManager)) whole = whole?.concat(chunk) ?? chunk;
    return { generations: [whole] };
  }
}
