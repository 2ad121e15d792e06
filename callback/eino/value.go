package eino

import (
	"encoding/json"

	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/components"
	"github.com/cloudwego/eino/components/document"
	"github.com/cloudwego/eino/components/embedding"
	"github.com/cloudwego/eino/components/indexer"
	"github.com/cloudwego/eino/components/prompt"
	"github.com/cloudwego/eino/components/retriever"
	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/schema"
)

func toolInput(input any) any {
	if in := tool.ConvCallbackInput(input); in != nil {
		return arguments(in.ArgumentsInJSON)
	}
	return input
}

func toolOutput(output any) any {
	o := tool.ConvCallbackOutput(output)
	switch {
	case o == nil:
		return output
	case o.ToolOutput != nil:
		text, err := json.Marshal(o.ToolOutput)
		if err != nil {
			return err.Error()
		}
		return json.RawMessage(text)
	}
	return o.Response
}

// valueOf is what is published of an input or output: what people want to see
// of it, without settings, vectors and metadata.
func valueOf(c components.Component, v any) any {
	switch c {
	case adk.ComponentOfAgent, adk.ComponentOfAgenticAgent:
		return agentInput(v)
	case components.ComponentOfRetriever:
		switch o := v.(type) {
		case *retriever.CallbackInput:
			return o.Query
		case *retriever.CallbackOutput:
			return hits(o.Docs)
		}
	case components.ComponentOfEmbedding:
		switch o := v.(type) {
		case *embedding.CallbackInput:
			return o.Texts
		case *embedding.CallbackOutput:
			return vectors(o.Embeddings)
		case [][]float64:
			return vectors(o)
		}
	case components.ComponentOfIndexer:
		switch o := v.(type) {
		case *indexer.CallbackInput:
			return hits(o.Docs)
		case *indexer.CallbackOutput:
			return o.IDs
		}
	case components.ComponentOfLoader:
		switch o := v.(type) {
		case *document.LoaderCallbackInput:
			return o.Source.URI
		case *document.LoaderCallbackOutput:
			return hits(o.Docs)
		}
	case components.ComponentOfTransformer:
		switch o := v.(type) {
		case *document.TransformerCallbackInput:
			return hits(o.Input)
		case *document.TransformerCallbackOutput:
			return hits(o.Output)
		}
	case components.ComponentOfPrompt:
		switch o := v.(type) {
		case *prompt.CallbackInput:
			return o.Variables
		case *prompt.CallbackOutput:
			return readable(o.Result)
		}
	}
	return readable(v)
}

// readable is a message as its text, if it is nothing else, and documents
// without their metadata.
func readable(v any) any {
	switch m := v.(type) {
	case *schema.Message:
		if m == nil {
			return nil
		}
		if text := messageText(m); len(m.ToolCalls) == 0 && text != "" {
			return text
		}
	case *schema.AgenticMessage:
		if a := agenticAnswer(m); a.text != "" && len(a.calls) == 0 {
			return a.text
		}
	case []*schema.Message:
		if len(m) == 1 && m[0] != nil && m[0].Role == schema.User && len(m[0].UserInputMultiContent) == 0 {
			return m[0].Content
		}
	case []*schema.AgenticMessage:
		if len(m) == 1 && m[0] != nil && len(m[0].ContentBlocks) == 1 {
			if b := m[0].ContentBlocks[0]; b != nil && b.UserInputText != nil {
				return b.UserInputText.Text
			}
		}
	case []*schema.Document:
		return hits(m)
	}
	return v
}

// hit is a document without its metadata, where vectors may be.
type hit struct {
	ID      string  `json:"id,omitempty"`
	Content string  `json:"content"`
	Score   float64 `json:"score,omitempty"`
}

func hits(docs []*schema.Document) []hit {
	all := make([]hit, 0, len(docs))
	for _, d := range docs {
		if d != nil {
			all = append(all, hit{ID: d.ID, Content: d.Content, Score: d.Score()})
		}
	}
	return all
}

// vectors says what embeddings there are: nobody reads their numbers.
func vectors(v [][]float64) any {
	dimensions := 0
	if len(v) > 0 {
		dimensions = len(v[0])
	}
	return struct {
		Vectors    int `json:"vectors"`
		Dimensions int `json:"dimensions"`
	}{len(v), dimensions}
}

func agentInput(v any) any {
	switch in := v.(type) {
	case *adk.AgentCallbackInput:
		if in.Input != nil {
			return readable(in.Input.Messages)
		}
	case *adk.TypedAgentCallbackInput[*schema.AgenticMessage]:
		if in.Input != nil {
			return readable(in.Input.Messages)
		}
	default:
		return readable(v)
	}
	return nil
}
