import type { Data, Row } from "./log";

/** What the model wrote, put together from its pieces. */
export interface Message {
  id: string;
  index: number; // of its first event
  time: number;
  model: string;
  name: string;
  text: string;
  reasoning: string;
  refusal: string;
  content?: string; // the whole, as it was told at the end
  done: boolean;
  error: string;
  tools: string[];
  tokens?: { input: number; output: number };
}

const str = (v: unknown): string => (typeof v === "string" ? v : "");

/** Messages puts deltas together by their message_id and channel. */
export class Messages {
  list: Message[] = [];
  private byID = new Map<string, Message>();

  add(row: Row, d: Data, index: number): void {
    const id = str(d.message_id) || str(d.run_id);
    if (row.type === "error") {
      const broken = this.byID.get(id);
      if (broken && d.scope === "llm") {
        broken.error = str(d.error) || "broke off";
        broken.done = true;
      }
      return;
    }
    const m = this.open(id || row.id, row, d, index);
    if (str(d.model)) m.model = str(d.model);
    if (typeof d.delta === "string") this.piece(m, str(d.channel), d.delta);
    if (d.status === "completed" || (typeof d.content === "string" && !d.status)) this.complete(m, d);
  }

  private open(id: string, row: Row, d: Data, index: number): Message {
    let m = this.byID.get(id);
    if (!m) {
      m = {
        id, index, time: row.time, model: str(d.model), name: str(d.name),
        text: "", reasoning: "", refusal: "", done: false, error: "", tools: [],
      };
      this.byID.set(id, m);
      this.list.push(m);
    }
    return m;
  }

  private piece(m: Message, channel: string, delta: string): void {
    if (channel === "reasoning") m.reasoning += delta;
    else if (channel === "refusal") m.refusal += delta;
    else m.text += delta;
  }

  private complete(m: Message, d: Data): void {
    m.done = true;
    if (typeof d.content === "string" && d.content && !(d.truncated && m.text)) m.content = d.content;
    if (Array.isArray(d.tool_calls)) m.tools = d.tool_calls.map((c) => str((c as Data)?.tool)).filter(Boolean);
    const usage = d.usage as Data | undefined;
    if (usage && typeof usage === "object")
      m.tokens = { input: Number(usage.input_tokens) || 0, output: Number(usage.output_tokens) || 0 };
  }
}
