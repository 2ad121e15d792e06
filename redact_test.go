package tidings_test

import (
	"encoding/json"
	"strings"
	"testing"

	"tidings"
	"tidings/internal/memlog"
)

func TestRedactSecrets(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"password":"hunter2","user":"ann"}`, `{"password":"[redacted]","user":"ann"}`},
		{`{"OPENAI_API_KEY": "x\"y","n":1}`, `{"OPENAI_API_KEY": "[redacted]","n":1}`},
		{`{"usage":{"max_tokens":5},"token_count":7}`, `{"usage":{"max_tokens":5},"token_count":7}`},
		{`{"headers":{"Authorization":"Basic YWJj"}}`, `{"headers":{"Authorization":"[redacted]"}}`},
		{`"{\"api_key\":\"abc\",\"city\":\"Oslo\"}"`, `"{\"api_key\":\"[redacted]\",\"city\":\"Oslo\"}"`},
		{`"use sk-proj-abcdefghijklmnop1234 please"`, `"use [redacted] please"`},
		{`"Authorization: Bearer abcdefghijklmnopqrst=="`, `"Authorization: [redacted]"`},
		{`"postgres://app:s3cret@db/x and https://example.com/a:b"`, `"postgres://app:[redacted]@db/x and https://example.com/a:b"`},
		{`"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"`, `"[redacted]"`},
		{`"a task-force of sk-8 and bearers of news"`, `"a task-force of sk-8 and bearers of news"`},
		{`["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",1]`, `["[redacted]",1]`},
	} {
		if got := string(tidings.RedactSecrets("", "", json.RawMessage(c.in))); got != c.want {
			t.Errorf("%s\ngives %s\nwant  %s", c.in, got, c.want)
		}
	}
}

func TestRedactSecretsInAHandler(t *testing.T) {
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Redact: tidings.RedactSecrets})
	_, tool := job.ToolStart(t.Context(), "login", "", map[string]string{"password": "hunter2"})
	tool.End(`{"token":"abc"}`, nil)
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range store.Events("job") {
		if strings.Contains(string(e.Data), "hunter2") || strings.Contains(string(e.Data), "abc") {
			t.Errorf("published %s", e.Data)
		}
	}
}

func FuzzRedactSecrets(f *testing.F) {
	f.Add(`{"password":"a\\","b":"c"}`)
	f.Add(`"\\\"password\\\":\\\"x\\\""`)
	f.Fuzz(func(t *testing.T, s string) {
		raw, err := json.Marshal(map[string]any{"password": s, s: "x", "text": s})
		if err != nil {
			t.Skip()
		}
		if got := tidings.RedactSecrets("", "", raw); !json.Valid(got) {
			t.Errorf("%s became invalid: %s", raw, got)
		}
	})
}
