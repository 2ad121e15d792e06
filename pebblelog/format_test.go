package pebblelog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What stands on the disk is pinned: a change of it needs a new format version
// and a migration.
func TestFormatIsPinned(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 20, 1, 234567000, time.UTC)
	id := tidings.ID{Ms: 1795512001234, Seq: 5}
	var out strings.Builder
	line := func(what string, key, value []byte) {
		fmt.Fprintf(&out, "%s\n  %s\n  %s\n", what, hex.EncodeToString(key), hex.EncodeToString(value))
	}
	for _, name := range append(slices.Clone(typeCodes[1:]), "their.own") {
		e := tidings.Event{Type: name, Time: at, Data: json.RawMessage(`{"a":1}`)}
		line("event "+name, appendEventKey(nil, 7, id), appendValue(nil, &e))
	}
	snap := &snapshot{number: 7, trimmedTo: id.Prev(), trimmed: 3, bytes: 4096, leaseTTL: time.Minute}
	snap.job.Apply(&tidings.Event{ID: id, JobID: "job-42", Type: tidings.TypePhaseUpdate, Time: at, Data: json.RawMessage(`{"phase":"job","status":"queued","name":"a<b","metadata":{"k":1.0e2}}`)})
	snap.job.Incarnation = "abcd1234"
	var record bytes.Buffer
	if err := snap.appendRecord(&record); err != nil {
		t.Fatal(err)
	}
	line("job", appendJobKey(nil, "job-42"), record.Bytes())
	line("created", snap.created().appendKey(nil, prefixCreated), []byte("job-42"))
	line("open", snap.created().appendKey(nil, prefixOpen), []byte("job-42"))
	line("ended", appendEndedKey(nil, id), []byte("job-42"))
	line("producer", appendProducerKey(nil, 7, "writer"), appendProducerState(nil, tidings.ProducerState{Epoch: 2, Seq: 300}, 99))
	f := feedEntry{kind: feedEvents, count: 99, number: 7, first: tidings.ID{Ms: id.Ms - 1}, last: id, jobID: []byte("job-42")}
	line("feed", appendFeedKey(nil, id), f.appendTo(nil))
	f.kind = feedDeleted
	line("feed, deleted", appendFeedKey(nil, id), f.appendTo(nil))
	line("format", keyFormat, formatValue(formatVersion, "0123456789abcdef"))
	golden(t, "testdata/format.golden", out.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-file +now); if that is meant, it needs a migration:\n%s", name, diff)
	}
}

// A summary is the same after it was written and read.
func TestRecordKeepsTheSummary(t *testing.T) {
	snap := &snapshot{number: 1}
	for i, e := range []tidings.Event{
		event(tidings.TypePhaseUpdate, `{"phase":"job","status":"queued","name":"<é>\u0000","labels":{"a":"b"},"metadata":{"n":12345678901234567890.10,"h":"<&>"}}`),
		event(tidings.TypeThought, `{"usage":{"input_tokens":1,"output_tokens":2}}`),
		event(tidings.TypeTaskStarted, `{"task":"t","queue":"q","attempt":2,"progress":0.5}`),
		event(tidings.TypeCancelRequested, `{"by":"x","reason":"y"}`),
		event(tidings.TypeDone, `{"cost":1.10}`),
	} {
		e.ID, e.JobID = tidings.ID{Ms: uint64(i + 1)}, "job"
		normalize(&e, "job", time.Date(2026, 1, 2, 3, 4, 5, 6789, time.UTC))
		snap.job.Apply(&e)
		var record bytes.Buffer
		if err := snap.appendRecord(&record); err != nil {
			t.Fatal(err)
		}
		got, err := parseRecord(record.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(snap, got, cmp.AllowUnexported(snapshot{})); diff != "" {
			t.Errorf("after event %d (-before +after):\n%s", i, diff)
		}
	}
}

// Jobs sort from the newest to the oldest, also around the epoch.
func TestCreationOrder(t *testing.T) {
	places := []created{{1 << 62, 1}, {2, 2}, {1, 9}, {1, 3}, {0, 4}, {-1, 5}, {-1 << 62, 6}}
	var before []byte
	for _, p := range places {
		key := p.appendKey(nil, prefixCreated)
		if bytes.Compare(before, key) >= 0 {
			t.Errorf("%+v does not sort behind the one before", p)
		}
		before = key
		if got, err := parseCreatedKey(key); err != nil || got != p {
			t.Errorf("key of %+v reads as %+v, %v", p, got, err)
		}
		if got, err := parseListCursor(p.cursor()); err != nil || got != p {
			t.Errorf("cursor of %+v reads as %+v, %v", p, got, err)
		}
	}
	for _, s := range []string{"1", "1.", ".1", "a.1", "1.-1", "1.1.1"} {
		if _, err := parseListCursor(s); err == nil {
			t.Errorf("%q is taken for a cursor", s)
		}
	}
}

func FuzzValue(f *testing.F) {
	f.Add([]byte{1, 2, '{', '}'})
	f.Add([]byte{0, 3, 'a', 'b', 'c', 2, '{', '}'})
	f.Add([]byte{0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, value []byte) {
		eventType, at, data, err := parseValue(value, "abc")
		if err != nil {
			return
		}
		e := tidings.Event{Type: eventType, Time: at, Data: data}
		again, at2, data2, err := parseValue(appendValue(nil, &e), "")
		if err != nil || again != eventType || !at.Equal(at2) || !bytes.Equal(data, data2) {
			t.Errorf("%x reads as %q %s %q, and written again as %q %s %q, %v", value, eventType, at, data, again, at2, data2, err)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add([]byte("\x01\x01\x00\x00\x00\x00\x00{}"))
	f.Add([]byte("\x01\x01\x01job"))
	f.Fuzz(func(t *testing.T, value []byte) {
		_, _ = parseRecord(value)
		_, _ = parseFeedEntry(tidings.MaxID, value)
		_, _, _ = parseProducerState(value)
		_, _, _ = parseFormat(value)
		_, _ = parseCreatedKey(value)
		_, _, _ = walFile{value, 1}.damage()
	})
}
