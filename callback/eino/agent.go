package eino

import (
	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/schema"
)

// agentEvents gives a reader of the events that an ADK agent will give: its
// OnEnd comes when it has begun. It is nil for any other output.
func agentEvents(output any) func() result {
	switch o := output.(type) {
	case *adk.AgentCallbackOutput:
		if o != nil && o.Events != nil {
			return func() result { return readEvents(o.Events) }
		}
	case *adk.TypedAgentCallbackOutput[*schema.AgenticMessage]:
		if o != nil && o.Events != nil {
			return func() result { return readEvents(o.Events) }
		}
	}
	return nil
}

// readEvents reads an agent's events to their end.
func readEvents[M adk.MessageType](events *adk.AsyncIterator[*adk.TypedAgentEvent[M]]) result {
	var r result
	for {
		e, ok := events.Next()
		if !ok {
			return r
		}
		if e != nil {
			r.learn(e.Err, e.Action, messageOf(e))
		}
	}
}

// learn notes what an event says of the agent's end; the last word counts.
func (r *result) learn(err error, action *adk.AgentAction, message any) {
	r.err = err
	r.waits, r.input = false, nil
	if action != nil && action.Interrupted != nil {
		r.waits, r.input = true, oneOrAll(points{Interrupts: contextPoints(action.Interrupted.InterruptContexts)})
	}
	if message != nil {
		r.output = message
	}
}

// messageOf reads the event's message, which may be a stream that has to be
// read or closed: what an assistant said, or nil.
func messageOf[M adk.MessageType](e *adk.TypedAgentEvent[M]) any {
	if e.Output == nil || e.Output.MessageOutput == nil {
		return nil
	}
	v := e.Output.MessageOutput
	if !v.IsStreaming {
		return said(v.Message)
	}
	if v.MessageStream == nil {
		return nil
	}
	defer v.MessageStream.Close()
	var whole gathered
	for {
		chunk, err := v.MessageStream.Recv()
		if err != nil { // the end, or an error that the model's run tells of
			return whole.value()
		}
		if text := said(chunk); text != nil {
			whole.write(text.(string))
		}
	}
}

// said is the text of what an assistant said, or nil.
func said(message any) any {
	text := ""
	switch m := message.(type) {
	case *schema.Message:
		if m != nil && m.Role == schema.Assistant {
			text = messageText(m)
		}
	case *schema.AgenticMessage:
		text = agenticAnswer(m).text
	}
	if text == "" {
		return nil
	}
	return text
}
