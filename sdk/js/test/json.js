/** JSON whose numbers keep their digits. */

class NumberText {
  constructor(text) {
    this.text = text;
  }
}

/** Parses JSON; numbers become objects that hold their text. */
export function parseExactly(text) {
  let at = 0;
  const space = /[ \t\r\n]*/y;
  const skip = () => {
    space.lastIndex = at;
    space.exec(text);
    at = space.lastIndex;
  };
  const expect = (s) => {
    if (!text.startsWith(s, at)) throw new SyntaxError(`expected ${s} at ${at}`);
    at += s.length;
    skip();
  };
  const match = (pattern) => {
    pattern.lastIndex = at;
    const m = pattern.exec(text);
    if (m) {
      at = pattern.lastIndex;
      skip();
    }
    return m?.[0];
  };
  const string = () => JSON.parse(match(/"(?:[^"\\]|\\.)*"/y));
  const value = () => {
    if (text[at] === "{") {
      const o = {};
      expect("{");
      while (text[at] !== "}") {
        const key = string();
        expect(":");
        Object.defineProperty(o, key, { value: value(), enumerable: true, configurable: true, writable: true });
        if (text[at] !== "}") expect(",");
      }
      expect("}");
      return o;
    }
    if (text[at] === "[") {
      const list = [];
      expect("[");
      while (text[at] !== "]") {
        list.push(value());
        if (text[at] !== "]") expect(",");
      }
      expect("]");
      return list;
    }
    if (text[at] === '"') return string();
    const word = match(/true|false|null/y);
    if (word) return JSON.parse(word);
    const number = match(/-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y);
    if (number === undefined) throw new SyntaxError(`unexpected ${text.slice(at, at + 20)} at ${at}`);
    return new NumberText(number);
  };
  skip();
  return value();
}

/** The value with its numbers as marked strings, which compare digit for digit. */
export function digits(v) {
  if (v instanceof NumberText) return "\u{1F522}" + v.text;
  if (Array.isArray(v)) return v.map(digits);
  if (typeof v === "object" && v !== null) return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, digits(x)]));
  return v;
}
