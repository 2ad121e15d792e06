package celery

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
)

// say publishes a body as a worker would.
func say(t testing.TB, c *redistest.Conn, contentType string, body string) {
	t.Helper()
	message, err := json.Marshal(map[string]any{
		"body": base64.StdEncoding.EncodeToString([]byte(body)), "content-encoding": "utf-8", "content-type": contentType, "headers": map[string]any{},
		"properties": map[string]any{"body_encoding": "base64", "delivery_info": map[string]any{"exchange": "celeryev", "routing_key": "task.multi"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, c, "/0.celeryev/task.multi", string(message))
}

func publish(t testing.TB, c *redistest.Conn, channel, message string) {
	t.Helper()
	if _, err := c.Do("PUBLISH", channel, message); err != nil {
		t.Fatal(err)
	}
}

// What can't be read is counted and skipped, and what comes after it is told.
func TestBadMessagesAreSkipped(t *testing.T) {
	t.Parallel()
	redis := redistest.Server(t)
	store := testStore(t)
	a := &app{t: t, redis: redis}
	b := a.bridge(store, Options{})
	c := redis.Dial()
	now := float64(time.Now().UnixMilli()) / 1000
	bad := 0
	for _, message := range []string{`not JSON`, `{"body":"%%%","content-type":"application/json","properties":{"body_encoding":"base64"}}`, `{}`, `[]`} {
		publish(t, c, "/0.celeryev/task.multi", message)
		bad++
	}
	for contentType, body := range map[string]string{
		"application/x-python-serialize": "\x80\x02}q\x00.", // pickle is never read
		"application/x-msgpack":          "\x80",
		"application/json":               `{"type":`,
	} {
		say(t, c, contentType, body)
		bad++
	}
	for _, body := range []string{`"text"`, `{"uuid":"x"}`, `[1,2]`, `{"type":3}`} {
		say(t, c, "application/json", body)
		bad++
	}
	for _, message := range []string{`{`, `{"status":"SUCCESS"}`, "\x80\x02}q\x00."} {
		publish(t, c, "celery-task-meta-x", message)
		bad++
	}
	// Odd, but readable.
	say(t, c, "application/json", fmt.Sprintf(`[7, {"type":"task-received","uuid":"odd","name":"a.b","args":"[NaN]","kwargs":null,"retries":null,"timestamp":%f,"hostname":"w"},
		{"type":"task-received","uuid":"a{b}","timestamp":1},{"type":"task-started","uuid":"odd","timestamp":1e300,"hostname":"w"}]`, now))
	bad++ // the 7
	say(t, c, "application/json", fmt.Sprintf(`{"type":"task-failed","uuid":"odd","exception":"E('x')","traceback":%q,"timestamp":%f,"hostname":"w"}`, strings.Repeat("line\n", 100_000), now-1e6))
	awaitStatus(t, store, "odd", tidings.StatusFailed)
	same(t, story(t, store, "odd"), "task_queued 1 received", "task_started 1", "task_failed 1 E")
	page, err := store.Read(t.Context(), "odd", tidings.Query{Backward: true, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	var d data
	if err := json.Unmarshal(page.Events[0].Data, &d); err != nil || len(d.Traceback) > maxTraceback || d.Truncated["traceback"] != 500_000 {
		t.Errorf("the traceback has %d bytes, %v, %v", len(d.Traceback), d.Truncated, err)
	}
	if s := b.Stats(); s.Unread != int64(bad) || s.Refused != 0 || s.Dropped != 0 {
		t.Errorf("%d messages were bad; the bridge counts %+v", bad, s)
	}
}

func TestKeywordArgument(t *testing.T) {
	t.Parallel()
	for repr, want := range map[string]string{
		`{'job_id': 'a'}`:         "a",
		`{'n': 3, 'job_id': 'a'}`: "a",
		`{'x': [1, (2, {'job_id': 'no'})], 'job_id': "it's"}`: "it's",
		`{'job_id': 7}`: "7",
		`{'t': 'a, \'job_id\': \'b\'', 'job_id': 'c'}`:                           "c",
		`{'d': datetime.datetime(2026, 1, 1), 'o': <obj at 0x1>, 'job_id': 'c'}`: "c",
		`{'job_id': 'e\xe9\u20ac\n'}`:                                            "e\u00e9\u20ac\n",
		`{'job_id': 'cut of...`:                                                  "",
		`{'job_id': 'cut off'...`:                                                "",
		`{'job_id': None}`:                                                       "",
		`{'job_id': f(1)}`:                                                       "",
		`{'job_id': ''}`:                                                         "",
		`{}`:                                                                     "",
		``:                                                                       "",
		`{'a': `:                                                                 "",
		`'job_id'`:                                                               "",
	} {
		if got, ok := keywordArgument(repr, "job_id"); got != want || ok != (want != "") {
			t.Errorf("%s gives %q, %v; want %q", repr, got, ok, want)
		}
	}
}

func FuzzKeywordArgument(f *testing.F) {
	f.Add(`{'n': 3, 'job_id': 'a'}`)
	f.Add(`{'x': [1, (2, {'job_id': 'no'})], 'job_id': "it's"}`)
	f.Fuzz(func(t *testing.T, repr string) {
		if value, ok := keywordArgument(repr, "job_id"); ok && value == "" {
			t.Error("found nothing")
		}
	})
}

func TestPythonRepr(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`{"a":[true,false,null,1.5,"it's"]}`: `{'a':[True,False,None,1.5,"it's"]}`,
		`"a\"b'c\n"`:                         `'a"b\'c\n'`,
		`""`:                                 `''`,
	} {
		if got := pythonRepr(json.RawMessage(value)); got != want {
			t.Errorf("%s gives %s, want %s", value, got, want)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ repr, traceback, kind, text string }{
		{"ValueError('neg')", "", "ValueError", "ValueError('neg')"},
		{"ExceptionWithTraceback()", "Traceback\n  File\nbilliard.exceptions.TimeLimitExceeded: TimeLimitExceeded(1,)\n", "TimeLimitExceeded", "billiard.exceptions.TimeLimitExceeded: TimeLimitExceeded(1,)"},
		{"something went wrong", "", "", "something went wrong"},
		{"", "", "", ""},
	} {
		if kind, text := errorText(c.repr, c.traceback); kind != c.kind || text != c.text {
			t.Errorf("%q gives %q, %q", c.repr, kind, text)
		}
	}
}
