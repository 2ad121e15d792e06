package redislog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/internal/redistest"
)

// bridgeOver starts a bridge on a store of its own, as a server node does.
func bridgeOver(t testing.TB, url string, opts BridgeOptions) *Bridge {
	t.Helper()
	setDefault(&opts.lease, time.Second)
	b, err := StartBridge(within(t), open(t, url), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// readAll gives the job's events once there are n, or more.
func readAll(t testing.TB, s *Store, job string, n int) []tidings.Event {
	t.Helper()
	var page tidings.Page
	eventually(t, fmt.Sprintf("job %s has %d events", job, n), func() bool {
		page, _ = s.Read(within(t), job, tidings.Query{Limit: 100_000, MaxBytes: 1 << 30}) // unknown at first
		return len(page.Events) >= n
	})
	return page.Events
}

func legacy(eventType, data string, n int) string {
	at := time.Date(2026, 11, 24, 9, 20, 0, n*1000, time.UTC).Format("2006-01-02T15:04:05.000000")
	return fmt.Sprintf(`{"event": %q, "data": %s, "timestamp": %q, "job_id": "ignored"}`, eventType, data, at)
}

func TestBridgeTakesMessagesIn(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	b := bridgeOver(t, r.URL(), BridgeOptions{In: true})
	long := strings.Repeat("ü", 1<<19)
	for _, c := range []struct{ message, eventType, data, at string }{
		{legacy("tool_call", `{"tool": "search", "z": 1, "a": 12345678901234567890.10}`, 1), "tool_call", `{"tool":"search","z":1,"a":12345678901234567890.10}`, "2026-11-24T09:20:00.000001Z"},
		{`{"event":"thought","data":{"delta":"Grüße, 世界 👋\u0000"},"timestamp":1795512001.25}`, "thought", `{"delta":"Grüße, 世界 👋\u0000"}`, "2026-11-24T09:20:01.25Z"},
		{`{"event_type":"custom","data":[1,null,{"a":1,"a":2}],"timestamp":"2026-11-24T09:20:02Z"}`, "custom", `[1,null,{"a":1,"a":2}]`, "2026-11-24T09:20:02Z"},
		{legacy("phase_update", `"`+long+`"`, 3), "phase_update", `"` + long + `"`, "2026-11-24T09:20:00.000003Z"},
		{`worker 7 says: it's "ready"`, "custom", `"worker 7 says: it's \"ready\""`, ""},
		{`{"no":"envelope"}`, "custom", `{"no":"envelope"}`, ""},
		{"\xff\xfe", "custom", `"\ufffd\ufffd"`, ""},
		{"", "custom", `""`, ""},
	} {
		before := b.Stats().Appended
		r.CLI("PUBLISH", "job:odd:one:events", c.message)
		eventually(t, "it is appended", func() bool { return b.Stats().Appended > before })
		events := readAll(t, b.s, "odd:one", int(before)+1)
		e := events[len(events)-1]
		if e.Type != c.eventType || string(e.Data) != c.data {
			t.Errorf("%.80s became %s %.80s", c.message, e.Type, e.Data)
		}
		if at := e.Time.Format(time.RFC3339Nano); c.at != "" && at != c.at {
			t.Errorf("%.80s happened at %s; want %s", c.message, at, c.at)
		}
		if c.at == "" && time.Since(e.Time).Abs() > time.Minute {
			t.Errorf("%.80s without a time happened at %s", c.message, e.Time)
		}
	}
}

func TestBridgeRefusesWhatNoLogTakes(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	b := bridgeOver(t, r.URL(), BridgeOptions{In: true})
	r.CLI("PUBLISH", "job:over:events", legacy("done", `{}`, 1))
	r.CLI("PUBLISH", "job:over:events", legacy("thought", `{"content":"too late"}`, 2))
	r.CLI("PUBLISH", "job:{brace}:events", legacy("thought", `{}`, 3))
	r.CLI("PUBLISH", "job::events", legacy("thought", `{}`, 4))
	eventually(t, "three messages are refused", func() bool { return b.Stats().Refused == 3 })
	if events := readAll(t, b.s, "over", 1); len(events) != 1 || events[0].Type != tidings.TypeDone {
		t.Errorf("the ended job holds %v", events)
	}
}

// subscribed gives a bare connection that listens to a job's channel.
func subscribed(t testing.TB, r *redistest.Redis, job string) *redistest.Conn {
	t.Helper()
	c := r.Dial()
	if _, err := c.Do("SUBSCRIBE", "job:"+job+":events"); err != nil {
		t.Fatal(err)
	}
	return c
}

type legacyMessage struct {
	Event     string          `json:"event"`
	Data      json.RawMessage `json:"data"`
	Timestamp string          `json:"timestamp"`
	JobID     string          `json:"job_id"`
	Mark      string          `json:"tidings_id"`
}

func receive(t testing.TB, c *redistest.Conn) legacyMessage {
	t.Helper()
	reply, err := c.Receive(patience)
	if err != nil {
		t.Fatal(err)
	}
	var m legacyMessage
	if err := json.Unmarshal([]byte(reply.([]any)[2].(string)), &m); err != nil {
		t.Fatalf("%v: %v", reply, err)
	}
	return m
}

func TestBridgeMirrorsEventsOut(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	b := bridgeOver(t, r.URL(), BridgeOptions{Out: true})
	eventually(t, "the bridge works", func() bool { return b.Stats().Holding })
	viewer := subscribed(t, r, "j1")
	other := open(t, r.URL()) // of another node
	// Until the bridge has begun with "what comes then", events pass unseen.
	eventually(t, "the first event is mirrored", func() bool {
		mustAppend(t, other, "warm-up", note(0))
		return b.Stats().Mirrored > 0
	})

	at := time.Date(2026, 11, 24, 9, 20, 1, 234567000, time.UTC)
	receipt := mustAppend(t, other, "j1",
		tidings.Event{Type: "thought", Time: at, Data: json.RawMessage(`{"delta":"世界","big":12345678901234567890}`)}, done())
	want := legacyMessage{Event: "thought", Data: json.RawMessage(`{"delta":"世界","big":12345678901234567890}`),
		Timestamp: "2026-11-24T09:20:01.234567Z", JobID: "j1", Mark: receipt.IDs[0].String()}
	if diff := cmp.Diff(want, receive(t, viewer)); diff != "" {
		t.Errorf("the mirrored message (-want +got):\n%s", diff)
	}
	if m := receive(t, viewer); m.Event != "done" {
		t.Errorf("after it came %v", m)
	}
}

// TestBridgesShareTheWork has several nodes bridge both ways at once: whatever
// is published or appended is in the log once and on the channel once.
func TestBridgesShareTheWork(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	both := BridgeOptions{In: true, Out: true}
	bridges := []*Bridge{bridgeOver(t, r.URL(), both), bridgeOver(t, r.URL(), both), bridgeOver(t, r.URL(), both)}
	testBothWays(t, bridges, r, r)
}

func TestBridgesShareTheWorkOfACluster(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t)
	both := BridgeOptions{In: true, Out: true}
	bridges := []*Bridge{bridgeOver(t, c.URL(), both), bridgeOver(t, c.URL(), both)}
	testBothWays(t, bridges, c.Nodes[0], c.Nodes[1])
}

// testBothWays publishes at one server, and listens at another.
func testBothWays(t *testing.T, bridges []*Bridge, at, viewedAt *redistest.Redis) {
	store := bridges[0].s
	warmUp(t, bridges)
	const jobs, each = 3, 100
	viewers := make([]*redistest.Conn, jobs)
	for j := range viewers {
		viewers[j] = subscribed(t, viewedAt, "both-"+strconv.Itoa(j))
	}
	publisher := at.Dial()
	for i := range each {
		for j := range jobs {
			// The same word over and over, in the same second, is no duplicate.
			text := legacy("thought", fmt.Sprintf(`{"delta":"word %d"}`, i/10), 0)
			if _, err := publisher.Do("PUBLISH", fmt.Sprintf("job:both-%d:events", j), text); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, store, "both-"+strconv.Itoa(j), note(i))
		}
	}
	for j := range jobs {
		job := "both-" + strconv.Itoa(j)
		checkLog(t, readAll(t, store, job, 2*each), each)
		mustAppend(t, store, job, done())
		checkChannel(t, publisher, viewers[j], job, each)
		if events := readAll(t, store, job, 2*each+1); len(events) != 2*each+1 {
			t.Errorf("%s has %d events; want %d", job, len(events), 2*each+1)
		}
	}
	holders := 0
	for _, b := range bridges {
		if s := b.Stats(); s.Appended > 0 || s.Mirrored > 0 {
			holders++
		}
	}
	if holders != 1 {
		t.Errorf("%d bridges worked; want one, the holder of the lease", holders)
	}
}

// warmUp waits until events are mirrored: the first bridge ever begins with
// what comes then.
func warmUp(t testing.TB, bridges []*Bridge) {
	t.Helper()
	eventually(t, "events are mirrored", func() bool {
		mustAppend(t, bridges[0].s, "warm-up", note(0))
		return slices.ContainsFunc(bridges, func(b *Bridge) bool { return b.Stats().Mirrored > 0 })
	})
}

func checkLog(t testing.TB, events []tidings.Event, each int) {
	t.Helper()
	notes, words := 0, 0
	for i := range events {
		if e := &events[i]; e.Type == "thought" {
			if want := fmt.Sprintf(`{"delta":"word %d"}`, words/10); string(e.Data) != want {
				t.Fatalf("message %d in the log is %s; want %s", words, e.Data, want)
			}
			words++
		} else {
			if number(e) != notes {
				t.Fatalf("event %d in the log is %s", notes, e.Data)
			}
			notes++
		}
	}
	if words != each || notes != each {
		t.Fatalf("the log has %d messages and %d events; want %d of each", words, notes, each)
	}
}

// checkChannel reads the channel until everything is there, and a last message
// that nothing should come before. In a Cluster, what different servers publish
// may overtake each other.
func checkChannel(t testing.TB, publisher, viewer *redistest.Conn, job string, each int) {
	t.Helper()
	notes, words, dones := 0, 0, 0
	for fenced := false; ; {
		if !fenced && notes == each && words == each && dones == 1 {
			fenced = true
			if _, err := publisher.Do("PUBLISH", "job:"+job+":events", `{"event":"fence","data":{}}`); err != nil {
				t.Fatal(err)
			}
		}
		switch m := receive(t, viewer); {
		case m.Event == "fence":
			if notes != each || words != each || dones != 1 {
				t.Errorf("the channel had %d messages, %d mirrored events and %d ends; want %d, %[4]d and 1", words, notes, dones, each)
			}
			return
		case m.Event == "done" && m.Mark != "":
			dones++
		case m.Event == "thought" && m.Mark == "":
			words++
		case m.Event == "custom" && m.Mark != "" && string(m.Data) == fmt.Sprintf(`{"n":%d}`, notes):
			notes++
		default:
			t.Fatalf("after %d messages and %d mirrored events came %v", words, notes, m)
		}
	}
}

// TestBridgeTakesOverFromADeadNode lets the holder of the lease vanish while
// messages come in.
func TestBridgeTakesOverFromADeadNode(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	first := bridgeOver(t, r.URL(), BridgeOptions{In: true, Out: true})
	warmUp(t, []*Bridge{first})
	second := bridgeOver(t, r.URL(), BridgeOptions{In: true, Out: true})
	viewer := subscribed(t, r, "j")
	publish := func(from, to int) {
		for i := from; i < to; i++ {
			r.CLI("PUBLISH", "job:j:events", fmt.Sprintf(`{"event":"custom","data":{"n":%d}}`, i))
		}
	}
	publish(0, 50)
	eventually(t, "the first half is appended", func() bool { return first.Stats().Appended == 50 })

	// The lease is nobody's now, and the first node does not come back.
	now, _, _ := strings.Cut(r.CLI("TIME"), "\n")
	seconds, err := strconv.Atoi(now)
	if err != nil {
		t.Fatal(err)
	}
	r.CLI("HSET", first.s.keys.bridge(), "node", "dead", "term", "99", "until", strconv.Itoa((seconds+2)*1000))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	publish(50, 100)
	if second.Stats().Appended != 0 {
		t.Error("the second node appended while another had the lease")
	}

	events := readAll(t, second.s, "j", 100)
	for i := range events {
		if number(&events[i]) != i {
			t.Fatalf("event %d is %s", i, events[i].Data)
		}
	}
	if n := second.Stats().Appended; len(events) != 100 || n != 50 {
		t.Errorf("the log has %d events, %d of the second node; want 100 and 50", len(events), n)
	}
	mustAppend(t, second.s, "j", done())
	for i := 0; ; i++ {
		m := receive(t, viewer)
		if m.Event == "done" {
			if i != 100 {
				t.Errorf("the channel had %d messages; want 100", i)
			}
			break
		}
		if m.Mark != "" {
			t.Fatalf("a message was published again: %v", m)
		}
	}
}

func TestBridgeHearsAgainAfterARestart(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	b := bridgeOver(t, r.URL(), BridgeOptions{In: true})
	r.CLI("PUBLISH", "job:j:events", legacy("custom", `{"n":0}`, 0))
	readAll(t, b.s, "j", 1)
	r.Stop()
	eventually(t, "the loss is noticed", func() bool { return !b.Stats().Hearing })
	r.Start()
	eventually(t, "the bridge hears and works", func() bool { s := b.Stats(); return s.Hearing && s.Holding })
	r.CLI("PUBLISH", "job:j:events", legacy("custom", `{"n":1}`, 1))
	if events := readAll(t, b.s, "j", 2); len(events) != 2 || number(&events[1]) != 1 {
		t.Errorf("the log holds %v", events)
	}
}

// TestKnownMessages holds the comparison of what a node heard with what an
// earlier one appended. Letters are events; the log is its newest events.
func TestKnownMessages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		heard, log string
		known      int
	}{
		{"abc", "", 0},
		{"abc", "xyz", 0},
		{"abc", "abc", 3},
		{"abc", "ab", 2},
		{"abc", "xyab", 2},
		{"abc", "xaybz", 2},  // events of others between
		{"aab", "a", 1},      // a repeated message, appended once so far
		{"aab", "aa", 2},     //
		{"aba", "ab", 2},     //
		{"abab", "abab", 4},  //
		{"ab", "aaaab", 2},   // the same events from before this node listened
		{"abcd", "bcd", 0},   // nothing that could be: appended again rather than lost
		{"abc", "abcxyz", 3}, //
	} {
		var heard []*message
		for _, l := range c.heard {
			heard = append(heard, &message{event: letter(l)})
		}
		var events []tidings.Event
		for i, l := range c.log {
			e := letter(l)
			e.ID = tidings.ID{Ms: uint64(i) + 1}
			events = append(events, e)
		}
		if ids := known(heard, events); len(ids) != c.known {
			t.Errorf("of %s heard, %d are known in %s; want %d", c.heard, len(ids), c.log, c.known)
		}
	}
}

func letter(l rune) tidings.Event {
	return tidings.Event{Type: "custom", Time: time.Unix(1, 0), Data: json.RawMessage(strconv.Quote(string(l)))}
}

func TestBacklogIsBounded(t *testing.T) {
	t.Parallel()
	l := newBacklog(time.Minute)
	big := json.RawMessage(strconv.Quote(strings.Repeat("x", 1<<20)))
	for range 100 {
		l.add(&message{event: tidings.Event{JobID: "j", Data: big}, at: time.Now()})
	}
	if l.bytes > backlogBytes+2<<20 || len(l.unseen["j"]) != len(l.all) {
		t.Errorf("%d bytes are kept, %d messages, %d of the job", l.bytes, len(l.all), len(l.unseen["j"]))
	}
	if l.dropped.Load() != 0 {
		t.Error("a node that only stands by counts what it forgets as dropped")
	}
	l.begin()
	l.add(&message{event: tidings.Event{JobID: "j", Data: big}, at: time.Now()})
	if l.dropped.Load() == 0 {
		t.Error("messages were dropped without being counted")
	}
	l.add(&message{event: tidings.Event{JobID: "k", Data: json.RawMessage("1")}, at: time.Now().Add(2 * time.Minute)})
	l.end()
	l.add(&message{event: tidings.Event{JobID: "k", Data: json.RawMessage("2")}, at: time.Now().Add(4 * time.Minute)})
	if len(l.all) != 1 || len(l.unseen) != 1 {
		t.Errorf("%d messages of %d jobs are kept for longer than asked", len(l.all), len(l.unseen))
	}
}

func TestBridgeOptions(t *testing.T) {
	t.Parallel()
	s := open(t, redistest.Server(t).URL())
	for _, opts := range []BridgeOptions{{}, {In: true, Channel: "job:events"}, {In: true, Channel: "*:*"}} {
		if b, err := StartBridge(within(t), s, opts); err == nil {
			_ = b.Close()
			t.Errorf("%+v was accepted", opts)
		}
	}
	name, err := parseChannelName("run[1]?.*.log")
	if err != nil {
		t.Fatal(err)
	}
	if name.glob() != `run\[1\]\?.*.log` || name.of("x") != "run[1]?.x.log" {
		t.Errorf("the channel is %s, and %s as a pattern", name.of("x"), name.glob())
	}
	if _, ok := name.jobID("run[1]?.x.txt"); ok {
		t.Error("a channel of another name passes")
	}
}

func TestMarkOfMirroredMessages(t *testing.T) {
	t.Parallel()
	e := letter('x')
	e.ID = tidings.ID{Ms: 7}
	for text, want := range map[string]bool{
		string(appendMirrored(nil, &e)):                 true,
		`{"event":"x", "data":1, "tidings_id" : "1-0"}`: true, // written anew by a relay
		`{"event":"x","data":{"tidings_id":"1-0"}}`:     false,
		`{"event":"x","data":"\"tidings_id\":\"1-0\""}`: false,
		`"tidings_id"`: false,
		`{"event":"thought","data":{"delta":"no mark"}}`:    false,
		`{"event":"x","data":1,"tidings_id":null,"also":1}`: false,
	} {
		if got := isMirrored(text); got != want {
			t.Errorf("isMirrored(%s) = %v", text, got)
		}
	}
}
