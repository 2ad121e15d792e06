package redislog

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"tidings"
	"tidings/wire"
)

// The short way of reading entries gives what the long way gives, whatever
// stands in them.
func FuzzOwnEntryReadsAsAnyEntry(f *testing.F) {
	f.Add("custom", "2026-11-24T09:20:01.234567Z", `{"event_type":"custom","data":{"a": [1, 2]},"timestamp":"2026-11-24T09:20:01.234567Z","job_id":"job"}`)
	f.Add("custom", "2026-11-24T09:20:01.234567Z", `{"event_type":"custom","data":1,"data":2,"timestamp":"2026-11-24T09:20:01.234567Z","job_id":"job"}`)
	f.Add("done", "1795512001", `{"event_type": "done", "data": {}}`)
	f.Add("x", "", `"\ud800"`)
	f.Add("custom", "2026-11-24T09:20:01.234567Z", `{"event_type":"custom","data":,"timestamp":"2026-11-24T09:20:01.234567Z","job_id":"job"}`)
	f.Fuzz(func(t *testing.T, eventType, timestamp, data string) {
		id := tidings.ID{Ms: 1795512001234}
		fields := []string{"event_type", eventType, "timestamp", timestamp, "data", data}
		got, own := ownEntry("job", id, fields)
		if !own {
			return
		}
		want := wire.ParseEntry("job", id, fields)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("long way, short way:\n%s", diff)
		}
	})
}

func TestOwnEntriesAreReadTheShortWay(t *testing.T) {
	t.Parallel()
	e := tidings.Event{JobID: "job", Type: "to\"ol", Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Data: json.RawMessage(`{"a":"b c"}`)}
	fields := []string{"event_type", e.Type, "timestamp", string(wire.AppendTime(nil, e.Time)), "data", string(wire.AppendEnvelope(nil, &e))}
	got, ok := ownEntry("job", tidings.ID{}, fields)
	if diff := cmp.Diff(e, got); !ok || diff != "" {
		t.Errorf("own entry: %t\n%s", ok, diff)
	}
}

func TestCompactness(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"a":"b c"}`: true, `{"a": 1}`: false, `"\" \\"`: true, `"\\" `: false, "[1,\n2]": false, `"\\ \" "`: true,
	} {
		if got := isCompact([]byte(text)); got != want {
			t.Errorf("isCompact(%s) is %t", text, got)
		}
	}
}

func TestSlot(t *testing.T) {
	t.Parallel()
	// Values of CLUSTER KEYSLOT.
	for key, want := range map[string]uint16{"123456789": 12739, "foo{bar}{zap}": 5061, "foo{}{bar}": 8363, "{user1000}.following": 3443} {
		if got := slot(key); got != want {
			t.Errorf("slot of %s is %d; want %d", key, got, want)
		}
	}
	k := keys{DefaultPrefix}
	if slot(k.stream("a/b")) != slot(k.meta("a/b")) || slot(k.meta("a/b")) != slot(k.channel("a/b")) {
		t.Error("a job's keys are in different slots")
	}
	for _, key := range k.index(2) {
		if slot(key) != slot(k.tombstone(2, "x")) {
			t.Errorf("%s is in another slot than the rest of its partition", key)
		}
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]rueidis.ClientOption{
		"redis://127.0.0.1":                    {InitAddress: []string{"127.0.0.1:6379"}},
		"valkey://u:p%40ss@h:1/3":              {InitAddress: []string{"h:1"}, Username: "u", Password: "p@ss", SelectDB: 3},
		"redis://h1:1,h2,[::1]:3?cluster=true": {InitAddress: []string{"h1:1", "h2:6379", "[::1]:3"}},
		"redis://h?db=2&cluster=false":         {InitAddress: []string{"h:6379"}, SelectDB: 2, ForceSingleClient: true},
		"redis-sentinel://:pw@h1,h2:5/main?sentinel_password=s&db=4": {InitAddress: []string{"h1:26379", "h2:5"}, Password: "pw", SelectDB: 4,
			Sentinel: rueidis.SentinelOption{MasterSet: "main", Password: "s"}},
		"redis://h1:1?sentinel_master=main": {InitAddress: []string{"h1:1"}, Sentinel: rueidis.SentinelOption{MasterSet: "main"}},
	} {
		got, err := parseURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if diff := cmp.Diff(pick(want), pick(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", url, diff)
		}
	}
	for _, url := range []string{"", "localhost:6379", "http://h", "redis://", "redis://h/db", "redis://h1,,h2", "redis-sentinel://h", "redis://h/-1",
		"redis://h?cluter=true", "redis://h?db=1&Cluster=true", "redis://h?cluster=flase", "rediss://h?skip_verify=yes", "redis://h?db=1;cluster=true"} {
		_, err := parseURL(url)
		if _, ok := err.(*tidings.InvalidError); !ok {
			t.Errorf("%q: %v; want an *InvalidError", url, err)
		}
	}
}

// pick is what TestURLs compares.
func pick(o rueidis.ClientOption) map[string]any {
	return map[string]any{"addr": o.InitAddress, "user": o.Username, "password": o.Password, "db": o.SelectDB, "single": o.ForceSingleClient,
		"master": o.Sentinel.MasterSet, "sentinel password": o.Sentinel.Password}
}
