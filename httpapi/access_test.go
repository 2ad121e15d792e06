package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tidings"
)

// No secret reaches the log, whatever the client does with it.
func TestLogHasNoSecrets(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Auth: testAuth(t)})
	token := mint(t, Claims{Permissions: []Permission{Read}, Jobs: []string{"*"}})
	for _, query := range []string{
		"?access_token=" + adminKey, "?limit=5&access_token=" + adminKey, "?access%5Ftoken=" + adminKey, "?Access_Token=" + adminKey,
		"?access_token=" + token, "?access_token=" + adminKey + "&x=%zz", "?%zz=1;access_token=" + adminKey,
	} {
		a.do("GET", "/v1/jobs"+query, "")
		a.do("GET", "/nowhere"+query, "")
		a.do("POST", "/v1/jobs"+query, "")
	}
	a.do("GET", "/v1/jobs", "", "Authorization", "Bearer "+adminKey)
	a.do("GET", "/v1/jobs", "", "Authorization", "Bearer "+token)
	a.do("GET", "/v1/jobs", "", "Authorization", "Basic "+adminKey)
	a.do("GET", "/v1/jobs", "", "Authorization", adminKey)
	log := a.log.String()
	for _, secret := range []string{adminKey, token, testSecret, strings.Split(token, ".")[2]} {
		if i := strings.Index(log, secret); i >= 0 {
			t.Errorf("the log has a secret: %s", log[max(0, i-200):i+20])
		}
	}
	if !strings.Contains(log, "limit=5") || !strings.Contains(log, "REDACTED") {
		t.Error("the rest of the query is missing in the log")
	}
}

func TestLogHasALineARequest(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Auth: testAuth(t)})
	a.do("GET", "/v1/jobs/nope?x=1", "", "Authorization", "Bearer "+readerKey)
	eventually(t, "the line is there", func() bool { return strings.Contains(a.log.String(), `"msg":"request"`) })
	var line map[string]any
	for text := range strings.SplitSeq(a.log.String(), "\n") {
		if strings.Contains(text, `"msg":"request"`) {
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, want := range map[string]any{"method": "GET", "path": "/v1/jobs/nope", "status": 404.0, "query": "x=1", "by": "reader", "error": "unknown job"} {
		if line[name] != want {
			t.Errorf("%s is %v, want %v", name, line[name], want)
		}
	}
}

// failingStore fails in the ways that a store of someone else might.
type failingStore struct {
	tidings.Store
	job  func() (tidings.Job, error)
	read func() (tidings.Page, error)
}

func (s *failingStore) Job(context.Context, string) (tidings.Job, error) { return s.job() }

func (s *failingStore) Read(context.Context, string, tidings.Query) (tidings.Page, error) {
	return s.read()
}

func TestPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	store := &failingStore{job: func() (tidings.Job, error) { panic("secret of the house") }}
	a := serveStore(t, store, nil, nil)
	got := a.do("GET", "/v1/jobs/j", "")
	wantProblem(t, got, http.StatusInternalServerError, "internal")
	if strings.Contains(got.body, "secret of the house") {
		t.Error("the answer shows what only the log should")
	}
	if log := a.log.String(); !strings.Contains(log, "secret of the house") || !strings.Contains(log, "access_test.go") {
		t.Error("the log does not show the panic and its stack")
	}
}

func TestUnknownErrorShowsNothing(t *testing.T) {
	t.Parallel()
	store := &failingStore{job: func() (tidings.Job, error) { return tidings.Job{}, errors.New("disk /dev/sda1 on fire") }}
	a := serveStore(t, store, nil, nil)
	got := a.do("GET", "/v1/jobs/j", "")
	wantProblem(t, got, http.StatusInternalServerError, "internal")
	if strings.Contains(got.body, "sda1") || !strings.Contains(a.log.String(), "sda1") {
		t.Errorf("the answer is %s", got.body)
	}
}

func TestUnavailableStoreSaysWhenToRetry(t *testing.T) {
	t.Parallel()
	store := &failingStore{job: func() (tidings.Job, error) { return tidings.Job{}, tidings.ErrUnavailable }}
	a := serveStore(t, store, nil, nil)
	got := a.do("GET", "/v1/jobs/j", "")
	wantProblem(t, got, http.StatusServiceUnavailable, "unavailable")
	if got.header.Get("Retry-After") == "" {
		t.Error("Retry-After is missing")
	}
}

// Lines that break off half-way must not look complete.
func TestBrokenHistoryIsCut(t *testing.T) {
	t.Parallel()
	calls := 0
	store := &failingStore{read: func() (tidings.Page, error) {
		if calls++; calls > 1 {
			return tidings.Page{}, tidings.ErrUnavailable
		}
		e := tidings.Event{ID: tidings.ID{Ms: 1}, Type: "a"}
		return tidings.Page{Events: []tidings.Event{e}, More: true, LastID: tidings.ID{Ms: 9}}, nil
	}}
	web := httptest.NewServer(New(store, nil))
	t.Cleanup(web.Close)
	r, _ := http.NewRequestWithContext(t.Context(), "GET", web.URL+"/v1/jobs/j/events", nil)
	r.Header.Set("Accept", lines)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return // cut before the first byte was sent
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the answer looks complete: %s", body)
	}
}
