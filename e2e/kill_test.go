package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
)

// load publishes to its own jobs, one writer each, until stopped, and remembers
// what was acknowledged.
type load struct {
	acked atomic.Int64
	jobs  []string
	ids   [][]tidings.ID // acknowledged, by job
}

func (l *load) run(ctx context.Context, t *testing.T, to tidings.Appender, writers int, stop <-chan struct{}) {
	publisher := tidings.NewPublisher(to, &tidings.PublisherOptions{ProducerID: "load"})
	// Names of this run alone: a port that a killed server leaves may be taken
	// by one of a test beside this.
	run := tidings.NewJobID()
	l.ids = make([][]tidings.ID, writers)
	var wg sync.WaitGroup
	for w := range writers {
		job := fmt.Sprintf("load-%s-%d", run, w)
		l.jobs = append(l.jobs, job)
		wg.Go(func() {
			for n := 0; ; {
				select {
				case <-stop:
					return
				default:
				}
				var events []tidings.Event
				for range 1 + n%3 {
					events = append(events, event(t, "custom", map[string]int{"n": n}))
					n++
				}
				r, err := publisher.Publish(ctx, job, events...)
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				// A duplicate is an answer to a repeated batch: its IDs are in the log.
				l.ids[w] = append(l.ids[w], r.IDs...)
				if r.Duplicate {
					l.ids[w] = append(l.ids[w], make([]tidings.ID, len(events))...)
				}
				l.acked.Add(int64(len(events)))
			}
		})
	}
	wg.Wait()
}

// check compares each log with what was acknowledged: everything, once, in
// order.
func (l *load) check(ctx context.Context, t *testing.T, from tidings.Reader) {
	t.Helper()
	for w, job := range l.jobs {
		var got []tidings.Event
		after := tidings.Cursor{}
		for more := true; more; {
			page, err := from.Read(ctx, job, tidings.Query{After: after})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page.Events...)
			more = page.More
			if len(page.Events) > 0 {
				after.ID = page.Events[len(page.Events)-1].ID
			}
		}
		if len(got) != len(l.ids[w]) {
			t.Errorf("%s: %d events in the log, %d were acknowledged", job, len(got), len(l.ids[w]))
			for i, e := range got {
				if string(e.Data) != fmt.Sprintf(`{"n":%d}`, i) {
					around := got[max(0, i-3):min(len(got), i+3)]
					for _, e := range around {
						t.Logf("%s %s %s", e.ID, e.Data, e.Time)
					}
					t.Logf("acknowledged there: %s", l.ids[w][max(0, i-3):min(len(l.ids[w]), i+3)])
					break
				}
			}
			continue
		}
		for i, e := range got {
			if string(e.Data) != fmt.Sprintf(`{"n":%d}`, i) {
				t.Fatalf("%s: event %d is %s", job, i, e.Data)
			}
			if id := l.ids[w][i]; !id.IsZero() && id != e.ID {
				t.Fatalf("%s: event %d was acknowledged as %s and is %s", job, i, id, e.ID)
			}
		}
		if !slices.IsSortedFunc(got, func(a, b tidings.Event) int { return a.ID.Compare(b.ID) }) {
			t.Errorf("%s: IDs are out of order", job)
		}
	}
}

// underLoad calls kill n times, each time after some more events were
// acknowledged, and then checks the logs.
func underLoad(t *testing.T, s *server, n int, kill func(i int)) {
	ctx := testContext(t, 5*time.Minute)
	l := &load{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { l.run(ctx, t, s.client(nil), 8, stop) })
	for i := range n {
		before := l.acked.Load()
		eventually(t, time.Minute, "events are acknowledged", func() bool { return l.acked.Load() >= before+100 })
		kill(i)
	}
	before := l.acked.Load()
	eventually(t, time.Minute, "events are acknowledged again", func() bool { return l.acked.Load() >= before+100 })
	close(stop)
	wg.Wait()
	l.check(ctx, t, s.client(nil))
	t.Logf("%d events acknowledged over %d kills: each is there once, in order", l.acked.Load(), n)
}

// The server is killed 20 times while publishers write through it and repeat
// what was not acknowledged.
func TestKilledServerLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, s *server) {
		underLoad(t, s, 20, func(int) {
			s.kill()
			s.start()
		})
	})
}

// Redis itself is killed, with appendfsync always; the server stays.
func TestKilledRedisLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	redis := redistest.Server(t, "--appendonly", "yes", "--appendfsync", "always")
	s := serve(t, "--redis", redis.URL())
	underLoad(t, s, 20, func(int) {
		redis.Stop()
		before := len(redis.Log())
		redis.Start()
		if strings.Contains(redis.Log()[before:], "Truncating the AOF") {
			mendTornAOF(t, redis)
		}
	})
}

// mendTornAOF does what docs/redis.md tells to do after a kill that tore the
// append-only file: redis-server 7.0 cuts it off in the middle of a transaction,
// and at the next start the transaction's first commands would come back.
func mendTornAOF(t *testing.T, redis *redistest.Redis) {
	t.Helper()
	t.Log("the kill tore the append-only file; it is rewritten")
	redis.CLI("BGREWRITEAOF")
	eventually(t, time.Minute, "the append-only file is rewritten", func() bool {
		info := redis.CLI("INFO", "persistence")
		return strings.Contains(info, "aof_rewrite_in_progress:0") && strings.Contains(info, "aof_rewrite_scheduled:0") &&
			strings.Contains(info, "aof_last_bgrewrite_status:ok")
	})
}

// The append of an event is torn out of Redis' append-only file before it was
// acknowledged, and repeated: it is there once, also after the next restart.
func TestTornAppendIsThereOnce(t *testing.T) {
	t.Parallel()
	redis := redistest.Server(t, "--appendonly", "yes", "--appendfsync", "always")
	s := serve(t, "--redis", redis.URL())
	ctx := testContext(t, time.Minute)
	c := s.client(nil)
	publish := func(seq int64) error {
		_, err := c.Append(ctx, "job", tidings.Batch{
			Events:   []tidings.Event{event(t, "custom", map[string]int64{"n": seq})},
			Producer: &tidings.Producer{ID: "p", Seq: seq},
		})
		return err
	}
	restart := func() {
		redis.Stop()
		redis.Start()
		eventually(t, 20*time.Second, "the server is ready", func() bool {
			_, err := c.Job(ctx, "job")
			return err == nil
		})
	}
	count := func() int {
		t.Helper()
		page, err := c.Read(ctx, "job", tidings.Query{})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Events)
	}
	if err := errors.Join(publish(0), publish(1)); err != nil {
		t.Fatal(err)
	}
	folder := strings.Fields(redis.CLI("CONFIG", "GET", "dir"))
	redis.Stop()
	tearLastTransaction(t, folder[len(folder)-1])
	before := len(redis.Log())
	redis.Start()
	if !strings.Contains(redis.Log()[before:], "Truncating the AOF") {
		t.Fatalf("the append-only file is not torn:\n%s", redis.Log()[before:])
	}
	mendTornAOF(t, redis)
	eventually(t, 20*time.Second, "the torn append is repeated", func() bool { return publish(1) == nil })
	restart()
	if got := count(); got != 2 {
		t.Errorf("%d events in the log, want 2", got)
	}
	if err := publish(1); err != nil || count() != 2 {
		t.Errorf("a further repeat: %v, %d events", err, count())
	}
}

// tearLastTransaction cuts the append-only file of a stopped server off within
// the last append, behind its XADD.
func tearLastTransaction(t *testing.T, folder string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(folder, "appendonlydir", "*.incr.aof"))
	if len(files) != 1 {
		t.Fatalf("append-only files: %v", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	xadd := bytes.LastIndex(text, []byte("XADD\r\n$14\r\njob_events:job"))
	if xadd < 0 {
		t.Fatal("no XADD in the append-only file")
	}
	hset := bytes.Index(text[xadd:], []byte("HSET\r\n"))
	if hset < 0 {
		t.Fatal("no HSET behind the XADD")
	}
	if err := os.Truncate(files[0], int64(xadd+hset+3)); err != nil {
		t.Fatal(err)
	}
}
