package tidings_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"tidings"

	"github.com/google/go-cmp/cmp"
)

func TestBatchValidate(t *testing.T) {
	ok := event("custom", `{}`)
	for _, b := range []tidings.Batch{
		{Events: []tidings.Event{ok}},
		{Events: []tidings.Event{ok, {Type: "done", JobID: "job"}}},
		{Events: []tidings.Event{event("error", `{}`), ok}},
		{Events: []tidings.Event{ok}, Producer: &tidings.Producer{ID: "p", Epoch: tidings.MaxProducerNumber, Seq: tidings.MaxProducerNumber}},
		{Events: []tidings.Event{ok}, Producer: &tidings.Producer{ID: strings.Repeat("ü", tidings.MaxProducerIDBytes/2)}},
	} {
		if err := b.Validate("job"); err != nil {
			t.Errorf("%+v: %v", b, err)
		}
	}
	for _, c := range []struct {
		field string
		b     tidings.Batch
	}{
		{"events", tidings.Batch{}},
		{"event_type", tidings.Batch{Events: []tidings.Event{{}}}}, // one alone needs no number
		{"events[1].event_type", tidings.Batch{Events: []tidings.Event{ok, {}}}},
		{"events[2].data", tidings.Batch{Events: []tidings.Event{ok, ok, event("custom", "x")}}},
		{"events[0].event_type", tidings.Batch{Events: []tidings.Event{{Type: "done"}, ok}}},
		{"events[1].event_type", tidings.Batch{Events: []tidings.Event{ok, event("error", `{"fatal":true}`), ok}}},
		{"events[1].job_id", tidings.Batch{Events: []tidings.Event{ok, {Type: "custom", JobID: "other"}}}},
		{"producer.id", tidings.Batch{Events: []tidings.Event{ok}, Producer: &tidings.Producer{}}},
		{"producer.id", tidings.Batch{Events: []tidings.Event{ok}, Producer: &tidings.Producer{ID: "\xff"}}},
		{"producer.id", tidings.Batch{Events: []tidings.Event{ok}, Producer: &tidings.Producer{ID: "p\n"}}},
		{"producer.id", tidings.Batch{Events: []tidings.Event{ok}, Producer: &tidings.Producer{ID: strings.Repeat("x", tidings.MaxProducerIDBytes+1)}}},
		{"producer.epoch", tidings.Batch{Events: []tidings.Event{ok}, Producer: &tidings.Producer{ID: "p", Epoch: -1}}},
		{"producer.epoch", tidings.Batch{Events: []tidings.Event{ok}, Producer: &tidings.Producer{ID: "p", Epoch: tidings.MaxProducerNumber + 1}}},
		{"producer.seq", tidings.Batch{Events: []tidings.Event{ok}, Producer: &tidings.Producer{ID: "p", Seq: -1}}},
		{"producer.seq", tidings.Batch{Events: []tidings.Event{ok}, Producer: &tidings.Producer{ID: "p", Seq: tidings.MaxProducerNumber + 1}}},
	} {
		if invalid, ok := errors.AsType[*tidings.InvalidError](c.b.Validate("job")); !ok || invalid.Field != c.field {
			t.Errorf("%+v: %v; want %s refused", c.b, invalid, c.field)
		}
	}
	b := tidings.Batch{Events: []tidings.Event{ok}}
	if invalid, ok := errors.AsType[*tidings.InvalidError](b.Validate("a{b}")); !ok || invalid.Field != "job_id" {
		t.Errorf("job ID with braces: %v", invalid)
	}
}

func TestProducerCheck(t *testing.T) {
	fenced := func(epoch, current int64) error {
		return &tidings.FencedError{ProducerID: "p", Epoch: epoch, Current: current}
	}
	gap := func(expected, received int64) error {
		return &tidings.SequenceError{ProducerID: "p", Expected: expected, Received: received}
	}
	for _, c := range []struct {
		epoch, seq int64
		state      string // "epoch/seq" remembered; empty: nothing
		duplicate  bool
		err        error
	}{
		{0, 0, "", false, nil},
		{7, 0, "", false, nil},
		{0, 1, "", false, gap(0, 1)},
		{0, 0, "0/0", true, nil},
		{0, 1, "0/0", false, nil},
		{0, 2, "0/0", false, gap(1, 2)},
		{0, 3, "0/5", true, nil},
		{0, 6, "0/5", false, nil},
		{1, 0, "0/5", false, nil},
		{1, 6, "0/5", false, gap(0, 6)},
		{9, 0, "1/0", false, nil},
		{1, 0, "2/0", false, fenced(1, 2)},
		{1, 99, "2/0", false, fenced(1, 2)},
		{2, tidings.MaxProducerNumber, "2/9007199254740990", false, nil},
	} {
		state, known := tidings.ProducerState{}, c.state != ""
		if known {
			if _, err := fmt.Sscanf(c.state, "%d/%d", &state.Epoch, &state.Seq); err != nil {
				t.Fatal(err)
			}
		}
		duplicate, err := tidings.Producer{ID: "p", Epoch: c.epoch, Seq: c.seq}.Check(state, known)
		if duplicate != c.duplicate || !cmp.Equal(err, c.err) {
			t.Errorf("epoch %d, sequence %d after %q: duplicate %t, %v; want %t, %v", c.epoch, c.seq, c.state, duplicate, err, c.duplicate, c.err)
		}
	}
}

// Messages are read by people who have to do something about them.
func TestErrorsSayWhat(t *testing.T) {
	id := tidings.ID{Ms: 12, Seq: 3}
	for want, err := range map[string]error{
		`event_type: missing`:                                                    &tidings.InvalidError{Field: "event_type", Reason: "missing"},
		`batch is over the limit of 5`:                                           &tidings.TooLargeError{What: "batch", Limit: 5},
		`job "j" has ended with event 12-3 and takes no more events`:             &tidings.ClosedError{JobID: "j", LastID: id},
		`producer "p" with epoch 1 was fenced off: epoch 2 has taken over`:       &tidings.FencedError{ProducerID: "p", Epoch: 1, Current: 2},
		`producer "p" sent sequence 5, but 3 is the next`:                        &tidings.SequenceError{ProducerID: "p", Expected: 3, Received: 5},
		`events of job "j" after 0-0 were trimmed; the first still held is 12-3`: &tidings.GapError{JobID: "j", First: id},
		`the log of job "j" is not the one of cursor 12-3~a: it was created again or lost its last events, and ends at 0-0`: &tidings.RewoundError{JobID: "j", Cursor: tidings.Cursor{ID: id, Incarnation: "a"}},
	} {
		if err.Error() != want {
			t.Errorf("%T says %q; want %q", err, err, want)
		}
	}
}
