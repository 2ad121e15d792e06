package main

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"tidings"
	"tidings/wire"
)

// frames is a response as the server writes it.
func frames(n int) []byte {
	out := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 2000\n\n")
	for i := range n {
		e, err := wire.ParseEvent(event(1_000_000_000_000_000_000 + int64(i)))
		if err != nil {
			panic(err)
		}
		e.ID, e.JobID = tidings.ID{Ms: uint64(i + 1)}, "job"
		out = wire.AppendFrame(out, &e, "abc")
	}
	return out
}

func TestAViewerCountsEventsHoweverTheyArrive(t *testing.T) {
	text := frames(50)
	for _, piece := range []int{1, 2, 3, 7, 64, 1000, 4095, len(text)} {
		t.Run(fmt.Sprintf("%d bytes at a time", piece), func(t *testing.T) {
			server, client := net.Pipe()
			go func() {
				for part := range slices.Chunk(text, piece) {
					if _, err := server.Write(part); err != nil {
						return
					}
				}
				_ = server.Close()
			}()
			v := &viewer{conn: client}
			if err := v.read(nil); err != nil {
				t.Fatal(err)
			}
			if got := v.seen.Load(); got != 50 {
				t.Errorf("seen %d events", got)
			}
			if got := v.bytes.Load(); got != int64(len(text)) {
				t.Errorf("read %d of %d bytes", got, len(text))
			}
		})
	}
}

func TestAViewerThatIsRefusedSaysSo(t *testing.T) {
	server, client := net.Pipe()
	go func() {
		_, _ = server.Write([]byte("HTTP/1.1 404 Not Found\r\n\r\n"))
		_ = server.Close()
	}()
	if err := (&viewer{conn: client}).read(nil); err == nil {
		t.Error("no error")
	}
}

func TestAProbeTakesEachTimeOnce(t *testing.T) {
	p := &probe{viewer: &viewer{}}
	text := frames(3)
	p.take(text)
	p.take(text[len(text)-400:]) // the last one again
	if len(p.delays) != 3 {
		t.Errorf("%d delays of 3 events", len(p.delays))
	}
}

func TestASleeperCountsWholeFrames(t *testing.T) {
	server, client := net.Pipe()
	text := frames(5)
	go func() {
		_, _ = server.Write(text[:len(text)-20]) // the last frame is cut off
		_ = server.Close()
	}()
	s := &sleeper{conn: client}
	if err := s.readTo(100); err == nil {
		t.Error("no error")
	}
	if s.seen != 4 || s.last != "4-0~abc" {
		t.Errorf("seen %d, last %q", s.seen, s.last)
	}
}

func TestEventsHaveTheSizeThatIsSaid(t *testing.T) {
	for _, size := range []int{eventBytes, soakEventBytes} {
		text := eventOf(size, time.Now().UnixNano())
		if len(text) != size {
			t.Errorf("%d bytes instead of %d", len(text), size)
		}
		if _, err := wire.ParseEvent(text); err != nil {
			t.Error(err)
		}
	}
}

func TestPageEnd(t *testing.T) {
	n, last, more, err := pageEnd([]byte(`{"events":[{"id":"1-0","event_type":"a","data":["],"]},{"id":"2-0","event_type":"b","data":{}}],"last_id":"2-0","has_more":true,"closed":false}`))
	if n != 2 || last != "2-0" || !more || err != nil {
		t.Errorf("%d events, last %s, more %v, error %v", n, last, more, err)
	}
}

func TestASoakLosesNoEventInItsPlan(t *testing.T) {
	plan := soakPlan{viewers: 100, jobs: 50, events: 12_345}
	sum := int64(0)
	for _, n := range plan.received() {
		sum += n
	}
	if want := int64(plan.events + plan.jobs*soakHistory); sum != want {
		t.Errorf("the jobs get %d events of %d", sum, want)
	}
}

func TestPercentile(t *testing.T) {
	var all []time.Duration
	for i := range 1000 {
		all = append(all, time.Duration(i))
	}
	if got := percentile(all, 0.99); got != 990 {
		t.Errorf("p99 is %d", got)
	}
	if got := percentile(all, 1); got != 999 {
		t.Errorf("the greatest is %d", got)
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}

func TestChoose(t *testing.T) {
	if chosen, err := choose(""); err != nil || len(chosen) != len(scenarios)-1 {
		t.Errorf("%d scenarios, %v", len(chosen), err)
	}
	if _, err := choose("append,nonsense"); err == nil {
		t.Error("no error for a scenario that is none")
	}
}
