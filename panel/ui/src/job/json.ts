// JSON as it was written: numbers keep every digit, which JSON.parse would not.

export type Node =
  | { kind: "object"; entries: [string, Node][] }
  | { kind: "array"; items: Node[] }
  | { kind: "string"; value: string }
  | { kind: "number" | "word"; text: string };

/** parse reads valid JSON. */
export function parse(text: string): Node {
  const reader = new Reader(text);
  return reader.value();
}

class Reader {
  private at = 0;
  constructor(private text: string) {}

  value(): Node {
    this.space();
    switch (this.text[this.at]) {
      case "{": return { kind: "object", entries: this.list("}", () => this.entry()) };
      case "[": return { kind: "array", items: this.list("]", () => this.value()) };
      case '"': return { kind: "string", value: this.string() };
      default: return this.bare();
    }
  }

  private space(): void {
    while (/\s/.test(this.text[this.at] ?? "")) this.at++;
  }

  private list<T>(close: string, one: () => T): T[] {
    const out: T[] = [];
    this.at++;
    for (this.space(); this.text[this.at] !== close; this.space()) {
      if (this.at >= this.text.length) throw new SyntaxError("JSON ends too early");
      if (this.text[this.at] === ",") this.at++;
      out.push(one());
    }
    this.at++;
    return out;
  }

  private entry(): [string, Node] {
    this.space();
    const key = this.string();
    this.space();
    this.at++; // the colon
    return [key, this.value()];
  }

  private string(): string {
    const from = this.at++;
    while (this.text[this.at] !== '"') {
      if (this.at >= this.text.length) throw new SyntaxError("JSON ends too early");
      this.at += this.text[this.at] === "\\" ? 2 : 1;
    }
    this.at++;
    return JSON.parse(this.text.slice(from, this.at));
  }

  private bare(): Node {
    const from = this.at;
    while (this.at < this.text.length && !/[\s,\]}]/.test(this.text[this.at]!)) this.at++;
    if (from === this.at) throw new SyntaxError("not JSON");
    const text = this.text.slice(from, this.at);
    return { kind: /^[-\d]/.test(text) ? "number" : "word", text };
  }
}

/** pretty writes it with line breaks, for copying. */
export function pretty(node: Node, indent = ""): string {
  const deeper = indent + "  ";
  switch (node.kind) {
    case "string": return JSON.stringify(node.value);
    case "object":
      if (node.entries.length === 0) return "{}";
      return `{\n${node.entries.map(([k, v]) => `${deeper}${JSON.stringify(k)}: ${pretty(v, deeper)}`).join(",\n")}\n${indent}}`;
    case "array":
      if (node.items.length === 0) return "[]";
      return `[\n${node.items.map((v) => deeper + pretty(v, deeper)).join(",\n")}\n${indent}]`;
    default: return node.text;
  }
}
