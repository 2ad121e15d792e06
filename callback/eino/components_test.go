package eino_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/components/embedding"
	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/components/prompt"
	"github.com/cloudwego/eino/components/retriever"
	"github.com/cloudwego/eino/components/tool/utils"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"

	"tidings/callback/eino"
)

// library is a retriever that knows one text.
type library struct{ err error }

func (l library) GetType() string { return "Library" }

func (l library) Retrieve(context.Context, string, ...retriever.Option) ([]*schema.Document, error) {
	return []*schema.Document{{ID: "1", Content: "tides", MetaData: map[string]any{"path": "/private"}}}, l.err
}

// embedder gives vectors of two numbers.
type embedder struct{}

func (embedder) EmbedStrings(_ context.Context, texts []string, _ ...embedding.Option) ([][]float64, error) {
	return make([][]float64, len(texts)), nil
}

func TestRetrieverNodeAndTemplate(t *testing.T) {
	o := observe(t, nil)
	c := compose.NewChain[string, []*schema.Message]()
	c.AppendRetriever(library{}).
		AppendLambda(compose.InvokableLambda(func(_ context.Context, d []*schema.Document) (map[string]any, error) {
			return map[string]any{"text": d[0].Content}, nil
		})).
		AppendChatTemplate(prompt.FromMessages(schema.FString, schema.UserMessage("about {text}")), compose.WithNodeName("question"))
	r, err := c.Compile(t.Context(), compose.WithGraphName("rag"))
	check(t, err)
	_, err = r.Invoke(t.Context(), "moon", compose.WithCallbacks(o.h))
	check(t, err)
	o.want(t, `
phase_update started chain rag input="moon"
  phase_update started retriever Library input="moon"
  phase_update completed retriever Library output=[{"id":"1","content":"tides"}]
  phase_update started prompt question input={"text":"tides"}
  phase_update completed prompt question output="about tides"
phase_update completed chain rag output="about tides"
`)
}

func TestRetrieverThatFails(t *testing.T) {
	o := observe(t, nil)
	c := compose.NewChain[string, []*schema.Document]()
	c.AppendRetriever(library{err: errors.New("closed")}, compose.WithNodeName("library"))
	r, err := c.Compile(t.Context(), compose.WithGraphName("rag"))
	check(t, err)
	if _, err = r.Invoke(t.Context(), "moon", compose.WithCallbacks(o.h)); err == nil {
		t.Fatal("no error")
	}
	o.want(t, `
phase_update started chain rag input="moon"
  phase_update started retriever library input="moon"
  phase_update failed retriever library error="closed"
phase_update failed chain rag caused-below
`)
}

func TestEmbeddingNodeIsToldWithoutItsNumbers(t *testing.T) {
	o := observe(t, nil)
	c := compose.NewChain[[]string, [][]float64]()
	c.AppendEmbedding(embedder{}, compose.WithNodeName("embed"))
	r, err := c.Compile(t.Context(), compose.WithGraphName("index"))
	check(t, err)
	_, err = r.Invoke(t.Context(), []string{"a", "b"}, compose.WithCallbacks(o.h))
	check(t, err)
	o.want(t, `
phase_update started chain index input=["a","b"]
  phase_update started embedding embed input=["a","b"]
  phase_update completed embedding embed output={"vectors":2,"dimensions":0}
phase_update completed chain index output=[null,null]
`)
}

func TestToolThatStreamsItsResult(t *testing.T) {
	o := observe(t, nil)
	read, err := utils.InferStreamTool("read", "reads", func(context.Context, place) (*schema.StreamReader[string], error) {
		return schema.StreamReaderFromArray([]string{"once ", "upon"}), nil
	})
	check(t, err)
	node, err := compose.NewToolNode(t.Context(), &compose.ToolsNodeConfig{Tools: toolsOf(read)})
	check(t, err)
	c := compose.NewChain[*schema.Message, []*schema.Message]()
	c.AppendToolsNode(node, compose.WithNodeName("tools"))
	r, err := c.Compile(t.Context(), compose.WithGraphName("chain"))
	check(t, err)
	check(t, o.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		s, err := r.Stream(ctx, calls("read", `{"city":"x"}`).chunks[0], compose.WithCallbacks(o.h))
		if err != nil {
			return nil, err
		}
		defer s.Close()
		for err == nil {
			_, err = s.Recv()
		}
		return nil, nil
	}))
	o.want(t, `
phase_update started chain chain
  tool_call tool tool=read call=call_0 input={"city":"x"}
  tool_result tool tool=read call=call_0 output="once upon"
phase_update completed chain chain
done completed
`)
}

// agentic is a model of the other message type.
type agentic struct{}

func (agentic) GetType() string { return "Agentic" }

func (agentic) Generate(context.Context, []*schema.AgenticMessage, ...model.Option) (*schema.AgenticMessage, error) {
	return &schema.AgenticMessage{Role: schema.AgenticRoleTypeAssistant, ContentBlocks: []*schema.ContentBlock{
		schema.NewContentBlock(&schema.Reasoning{Text: "hm"}), schema.NewContentBlock(&schema.AssistantGenText{Text: "It is sunny"}),
	}, ResponseMeta: &schema.AgenticResponseMeta{TokenUsage: &schema.TokenUsage{PromptTokens: 11, CompletionTokens: 3}}}, nil
}

func (a agentic) Stream(ctx context.Context, in []*schema.AgenticMessage, o ...model.Option) (*schema.StreamReader[*schema.AgenticMessage], error) {
	m, _ := a.Generate(ctx, in, o...)
	chunks := make([]*schema.AgenticMessage, len(m.ContentBlocks))
	for i, b := range m.ContentBlocks {
		b.StreamingMeta = &schema.StreamingMeta{Index: i}
		chunks[i] = &schema.AgenticMessage{Role: m.Role, ContentBlocks: []*schema.ContentBlock{b}}
	}
	chunks[len(chunks)-1].ResponseMeta = m.ResponseMeta
	return schema.StreamReaderFromArray(chunks), nil
}

func TestAgentOfAgenticMessages(t *testing.T) {
	for name, streaming := range map[string]bool{"whole": false, "streaming": true} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, nil)
			a, err := adk.NewTypedChatModelAgent(t.Context(), &adk.TypedChatModelAgentConfig[*schema.AgenticMessage]{Name: "poet", Description: "writes", Model: agentic{}})
			check(t, err)
			r := adk.NewTypedRunner(adk.TypedRunnerConfig[*schema.AgenticMessage]{Agent: a, EnableStreaming: streaming})
			events := eino.Observe(t.Context(), o.h, func(ctx context.Context) (*adk.AsyncIterator[*adk.TypedAgentEvent[*schema.AgenticMessage]], error) {
				return r.Query(ctx, "hi", adk.WithCallbacks(o.h)), nil
			})
			for {
				e, ok := events.Next()
				if !ok {
					break
				}
				check(t, e.Err)
			}
			text := `
  thought delta channel=reasoning "hm"
`
			if streaming {
				text += "  thought delta \"It is sunny\"\n"
			}
			o.want(t, `
phase_update started agent poet input="hi"
  thought started llm Agentic model=Agentic`+text+`  thought completed llm Agentic model=Agentic content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent poet output="It is sunny"
done completed output="It is sunny" usage={"input_tokens":11,"output_tokens":3}
`)
		})
	}
}

func TestModelInputIsToldIfAskedFor(t *testing.T) {
	o := observe(t, &eino.Options{ModelInput: true})
	_, err := react(t, scripted(says("x"))).Invoke(t.Context(), hello(), compose.WithCallbacks(o.h))
	check(t, err)
	o.want(t, `
phase_update started graph react input="hi"
  thought started llm model model=Scripted input="hi"
  thought completed llm model model=Scripted content="x" usage={"input_tokens":11,"output_tokens":3}
phase_update completed graph react output="x"
`)
}
