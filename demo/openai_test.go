package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/demo"
)

const testKey = "sk-test-0123456789"

// chatServer is a stand-in for a server with the chat completions API, which is
// somebody else's and can't be started here.
func chatServer(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, body chat)) *demo.OpenAI {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body chat
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		if r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer "+testKey || !body.Stream {
			t.Errorf("request: %s %v", r.URL.Path, body)
		}
		answer(w, r, body)
	}))
	t.Cleanup(s.Close)
	return &demo.OpenAI{Key: testKey, BaseURL: s.URL + "/v1/", Model: "test-model"}
}

// chat is what the stand-in looks at in a request.
type chat struct {
	Model    string
	Stream   bool
	Messages []struct {
		Role       string
		Content    string
		ToolCallID string `json:"tool_call_id"`
		ToolCalls  []any  `json:"tool_calls"`
	}
	Tools []struct{ Function struct{ Name string } }
}

func chunks(w io.Writer, parts ...string) {
	for _, part := range parts {
		fmt.Fprintf(w, "data: %s\n\n", part)
	}
}

func textChunk(text string) string {
	raw, _ := json.Marshal(text)
	return fmt.Sprintf(`{"choices":[{"delta":{"content":%s},"finish_reason":null}]}`, raw)
}

const (
	stopChunk  = `{"choices":[{"delta":{},"finish_reason":"stop"}]}`
	callsChunk = `{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}`
	usageChunk = `{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":40}}}`
	doneChunk  = `[DONE]`
)

// wholeStudy answers as a model does that calls one round of tools where it may
// and then writes.
func wholeStudy(w http.ResponseWriter, _ *http.Request, body chat) {
	last := body.Messages[len(body.Messages)-1]
	if last.Role == "user" && len(body.Tools) > 0 {
		chunks(w,
			`{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"list_files","arguments":""}}]}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"pa"}}]}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"th\":\"cmd\"}"}}]}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"call_b","function":{"name":"no_such_tool","arguments":"{broken"}}]}}]}`,
			callsChunk, usageChunk, doneChunk)
		return
	}
	chunks(w, textChunk("The model "), textChunk("says: sheep."), stopChunk, usageChunk, doneChunk)
}

func TestStudyWithALanguageModel(t *testing.T) {
	model := chatServer(t, wholeStudy)
	result, report, events := run(t, demo.Config{Dir: tree(t, project), Model: model})
	s := read(t, events)

	mustContain(t, report, "The language model test-model at 127.0.0.1", "excerpts of the folder's files were sent there",
		"The model says: sheep.", "| files | 13 |")
	if strings.Contains(report, "No language model was used") {
		t.Error("the report denies the model")
	}
	if result.Model != "test-model" || s.tools["list_files"] != 2 || s.tools["no_such_tool"] != 2 {
		t.Errorf("result %+v, tools %v", result, s.tools)
	}
	var done struct{ Usage tidings.Usage }
	if err := json.Unmarshal(events[len(events)-1].Data, &done); err != nil {
		t.Fatal(err)
	}
	if want := (tidings.Usage{InputTokens: 700, OutputTokens: 70, CachedInputTokens: 280}); done.Usage != want {
		t.Errorf("usage of seven answers: %+v", done.Usage)
	}
	mustNotTell(t, report, events)
}

// mustNotTell checks that the key stayed where it belongs.
func mustNotTell(t *testing.T, report string, events []tidings.Event) {
	t.Helper()
	if strings.Contains(report, testKey) {
		t.Error("the key is in the report")
	}
	for _, e := range events {
		if strings.Contains(string(e.Data), testKey) {
			t.Errorf("the key is in event %s: %s", e.ID, e.Data)
		}
	}
}

func TestAModelThatFailsIsReplacedByRules(t *testing.T) {
	asked := 0
	model := chatServer(t, func(w http.ResponseWriter, r *http.Request, body chat) {
		if asked++; asked < 4 {
			wholeStudy(w, r, body)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":{"message":"Incorrect API key provided: %s."}}`, testKey)
	})
	result, report, events := run(t, demo.Config{Dir: tree(t, project), Model: model, Logger: slog.New(slog.DiscardHandler)})
	read(t, events)

	mustContain(t, report, "gave no answer: 401 Unauthorized: Incorrect API key provided: [key].",
		"built-in rules, which are no language model, did the rest", "| files | 13 |")
	if result.Model != "rules" || result.Status != tidings.StatusCompleted || asked != 4 {
		t.Errorf("result %+v after %d requests", result, asked)
	}
	mustNotTell(t, report, events)
}

// A model that fails at once has written nothing, and nothing was sent to it.
func TestAModelThatFailsAtOnceIsGivenNoCredit(t *testing.T) {
	model := chatServer(t, func(w http.ResponseWriter, _ *http.Request, _ chat) { w.WriteHeader(http.StatusUnauthorized) })
	result, report, events := run(t, demo.Config{Dir: tree(t, project), Model: model, Logger: slog.New(slog.DiscardHandler)})
	mustContain(t, report, "but the model test-model at 127.0.0.1", "gave no answer: 401 Unauthorized. So no language model was used")
	if strings.Contains(report, "were sent") || len(result.About) != 1 || !strings.Contains(report, result.About[0]) {
		t.Errorf("about: %q", result.About)
	}
	mustNotTell(t, report, events)
}

func TestWhatAServerCanGetWrong(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		says   string
	}{
		{"error without a body", func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) }, "429 Too Many Requests"},
		{"an answer that breaks off", func(w http.ResponseWriter) { chunks(w, textChunk("half")) }, "the answer broke off"},
		{"no events at all", func(w http.ResponseWriter) { fmt.Fprint(w, "<html>hello</html>") }, "the answer broke off"},
		{"no JSON", func(w http.ResponseWriter) { chunks(w, "hello") }, "no chat completion"},
		{"an error on the way", func(w http.ResponseWriter) { chunks(w, textChunk("a"), `{"error":{"message":"overloaded"}}`) }, "overloaded"},
		{"an endless answer", func(w http.ResponseWriter) {
			for range 100 {
				chunks(w, textChunk(strings.Repeat("x", 10_000)))
			}
		}, "over 262144 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := chatServer(t, func(w http.ResponseWriter, _ *http.Request, _ chat) { c.answer(w) })
			_, err := model.Reply(t.Context(), demo.Request{Phase: demo.PhaseSurvey}, func(string) {})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error %v does not say %q", err, c.says)
			}
		})
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	model := &demo.OpenAI{Key: testKey, BaseURL: strings.Replace(gone.URL, "http://", "http://user:"+testKey+"@", 1)}
	_, err := model.Reply(t.Context(), demo.Request{}, func(string) {})
	if err == nil || strings.Contains(err.Error(), testKey) || !strings.Contains(err.Error(), demo.DefaultOpenAIModel) {
		t.Errorf("error: %v", err)
	}
	if strings.Contains(model.About()+model.Plan(), testKey) {
		t.Error("the key is in what the model says of itself")
	}
}

func TestAModelStopsWhenItsContextEnds(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	model := chatServer(t, func(w http.ResponseWriter, r *http.Request, _ chat) {
		chunks(w, textChunk("and so on"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	_, err := model.Reply(ctx, demo.Request{}, func(string) { stop(enough) })
	if !errors.Is(err, enough) {
		t.Errorf("error: %v", err)
	}
}

func TestAServerThatFallsSilentIsGivenUp(t *testing.T) {
	model := chatServer(t, func(w http.ResponseWriter, r *http.Request, _ chat) {
		chunks(w, textChunk("one moment"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	model.Idle = 50 * time.Millisecond
	_, err := model.Reply(t.Context(), demo.Request{}, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "silent for too long") {
		t.Errorf("error: %v", err)
	}
}

func TestModelFromEnv(t *testing.T) {
	env := map[string]string{}
	getenv := func(name string) string { return env[name] }
	if m, ok := demo.ModelFromEnv(getenv, 7).(*demo.Rules); !ok || m.Pace != 7 {
		t.Errorf("without a key: %#v", m)
	}
	env["OPENAI_API_KEY"], env["OPENAI_BASE_URL"] = testKey, "http://127.0.0.1:1/v1"
	m, ok := demo.ModelFromEnv(getenv, 7).(*demo.OpenAI)
	if !ok || m.Key != testKey || m.Name() != demo.DefaultOpenAIModel || !strings.Contains(m.About(), "127.0.0.1:1") {
		t.Errorf("with a key: %#v", m)
	}
}
