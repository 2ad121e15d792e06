package demo

import (
	"context"
	"encoding/json"

	"tidings"
)

// Model decides what the agent does next and writes its sentences. It is used
// by one run at a time.
type Model interface {
	// Name is what events and the report call the model.
	Name() string
	// Plan says in one plain sentence, before a study, what the model is for and
	// where it runs; About says after it what the model did.
	Plan() string
	About() string
	// Reply continues the conversation. It calls delta with each piece of text
	// as it comes; Text is all of them. It returns soon after ctx ends.
	Reply(ctx context.Context, r Request, delta func(text string)) (Reply, error)
}

// Request is what a model is asked.
type Request struct {
	Phase    string     // the phase of the study, one of [Phases]
	Messages []Message  // the conversation so far, the newest last
	Tools    []ToolSpec // what may be called; empty: only text is wanted
}

// Role says who a message is from.
type Role string

// The roles of a conversation.
const (
	RoleSystem    Role = "system"
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
)

// Message is one entry of the conversation.
type Message struct {
	Role   Role
	Text   string
	Calls  []Call // of an assistant's message
	CallID string // of a tool's message: the call it answers
	Tool   string // of a tool's message
}

// Call asks for a tool to be run.
type Call struct {
	ID    string
	Tool  string
	Input json.RawMessage // a JSON object
}

// Reply is a model's turn: text, calls, or both.
type Reply struct {
	Text   string
	Calls  []Call
	Finish string         // "stop", "tool_calls", "length" …
	Usage  *tidings.Usage // nil: the model counts no tokens
}

// ToolSpec describes a tool to a model.
type ToolSpec struct {
	Name        string
	Description string
	Parameters  json.RawMessage // a JSON Schema of the input
}
