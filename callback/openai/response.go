package openai

import "tidings"

// What is read of Responses.

// response is an answer, also one that is not complete.
type response struct {
	Status     string    `json:"status"`
	Output     []item    `json:"output"`
	Usage      *usage    `json:"usage"`
	Error      *apiError `json:"error"`
	Incomplete struct {
		Reason string `json:"reason"`
	} `json:"incomplete_details"`
}

// item is a part of an answer.
type item struct {
	Type      string `json:"type"`
	CallID    string `json:"call_id"`
	Name      string `json:"name"`
	Arguments text   `json:"arguments"`
	Input     text   `json:"input"`
	Content   []part `json:"content"`
	Summary   []part `json:"summary"`
}

type part struct {
	Type    string `json:"type"`
	Text    text   `json:"text"`
	Refusal text   `json:"refusal"`
}

// responseEvent is an event of a stream.
type responseEvent struct {
	Type     string   `json:"type"`
	Delta    text     `json:"delta"`
	Item     item     `json:"item"`
	Response response `json:"response"`
	Code     text     `json:"code"`
	Message  text     `json:"message"`
}

// responseEvent takes in an event of a stream.
func (c *call) responseEvent(e *responseEvent) {
	switch e.Type {
	case "response.output_text.delta":
		c.model.Delta(tidings.ChannelText, string(e.Delta))
	case "response.refusal.delta":
		c.model.Delta(tidings.ChannelRefusal, string(e.Delta))
	case "response.reasoning_text.delta", "response.reasoning_summary_text.delta":
		c.model.Delta(tidings.ChannelReasoning, string(e.Delta))
	case "response.output_item.done":
		c.item(&e.Item)
	case "response.completed", "response.incomplete", "response.failed":
		c.outcome(&e.Response)
	case "error":
		c.finish((&apiError{Code: e.Code, Message: string(e.Message)}).err())
	}
}

// response takes in a whole answer.
func (c *call) response(r *response) {
	for i := range r.Output {
		c.item(&r.Output[i])
		for _, p := range r.Output[i].Summary {
			c.model.Delta(tidings.ChannelReasoning, string(p.Text))
		}
		for _, p := range r.Output[i].Content {
			c.part(&p)
		}
	}
	c.outcome(r)
}

func (c *call) part(p *part) {
	switch p.Type {
	case "output_text":
		c.text += string(p.Text)
	case "reasoning_text":
		c.model.Delta(tidings.ChannelReasoning, string(p.Text))
	case "refusal":
		c.model.Delta(tidings.ChannelRefusal, string(p.Refusal))
	}
}

// item takes in a whole part of the answer, if it asks for a tool of the
// caller's.
func (c *call) item(i *item) {
	switch i.Type {
	case "function_call":
		c.asks(i.CallID, i.Name, string(i.Arguments))
	case "custom_tool_call":
		c.asks(i.CallID, i.Name, string(i.Input))
	}
}

// outcome takes in how the answer ended.
func (c *call) outcome(r *response) {
	c.last = true
	c.count(r.Usage)
	switch {
	case r.Status == "failed" && r.Error != nil:
		c.finish(r.Error.err())
		return
	case r.Status == "failed":
		c.finish((&apiError{}).err())
		return
	case r.Status == "incomplete":
		c.model.FinishReason(r.Incomplete.Reason)
	default:
		c.model.FinishReason(r.Status)
	}
	c.finish(nil)
}
