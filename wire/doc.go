// Package wire holds the formats in which events travel: the JSON of an event,
// the envelope inside a Redis Stream entry, NDJSON, and Server-Sent Events.
// Everything that leaves or enters the process as bytes is written and parsed
// here, so that golden files and fuzz tests have one place to look at.
//
// Data is passed through: number literals, key order, duplicate keys and string
// escapes stay as the publisher wrote them; only white space between tokens is
// dropped. encoding/json would rewrite some of these, so events are not written
// by it.
package wire
