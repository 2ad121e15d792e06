package pebblelog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tidings"
	"tidings/logtest"
)

// The machine crashes under load, at any moment, and what was not synced is
// there or not, at random: nothing acknowledged is missing, no batch is there
// in part, and summaries, producers, indexes and feed fit the logs.
func TestCrashLosesNothing(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, "data", onMem(fs))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	var ledger logtest.Ledger
	var gate sync.RWMutex // held while the ledger must not change
	var writers sync.WaitGroup
	for w := range 6 {
		writers.Go(func() { crashWriter(ctx, t, s, &ledger, &gate, w) })
	}
	writers.Go(func() { crashDeleter(ctx, t, s, &gate) })

	rng := rand.New(rand.NewPCG(1, 2))
	for crash := range 25 {
		want := s.Stats().Appends + int64(rng.IntN(60))
		eventually(t, "writers get on", func() bool { return s.Stats().Appends > want })
		gate.Lock()
		after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		checkCrashed(t, after, &ledger)
		gate.Unlock()
		if t.Failed() {
			t.Fatalf("at crash %d", crash)
		}
	}
	cancel()
	writers.Wait()
}

func checkCrashed(t *testing.T, fs vfs.FS, ledger *logtest.Ledger) {
	t.Helper()
	s, err := Open("data", onMem(fs))
	if err != nil {
		t.Fatal(err)
	}
	ledger.Check(t, s)
	checkConsistent(t, s)
	for w := range 6 {
		checkProducer(t, s, w)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// crashBatch is what writer w sends as its nth batch; it says how long it is.
func crashBatch(round, w, n int) tidings.Batch {
	b := tidings.Batch{Producer: &tidings.Producer{ID: fmt.Sprintf("writer-%d", w), Epoch: int64(round), Seq: int64(n)}}
	size := 1 + (n*7+w)%5
	for i := range size {
		b.Events = append(b.Events, event(tidings.TypeCustom, fmt.Sprintf(`{"round":%d,"w":%d,"batch":%d,"i":%d,"of":%d}`, round, w, n, i, size)))
	}
	return b
}

// Two writers share a job.
func crashJob(w int) string { return fmt.Sprintf("job-%d", w/2) }

func crashWriter(ctx context.Context, t *testing.T, s *Store, ledger *logtest.Ledger, gate *sync.RWMutex, w int) {
	for n := 0; ctx.Err() == nil; n++ {
		b := crashBatch(0, w, n)
		gate.RLock()
		sent := ledger.Sending(crashJob(w), b.Events)
		gate.RUnlock()
		r, err := s.Append(t.Context(), crashJob(w), b)
		if err != nil {
			t.Errorf("append: %v", err)
			return
		}
		gate.RLock()
		sent.Acked(r)
		gate.RUnlock()
	}
}

// crashDeleter makes and deletes jobs, so that some group always does both.
func crashDeleter(ctx context.Context, t *testing.T, s *Store, gate *sync.RWMutex) {
	for n := 0; ctx.Err() == nil; n++ {
		rest(gate)
		job := fmt.Sprintf("short-%d", n%3)
		p := &tidings.Producer{ID: "p"}
		if _, err := s.Append(t.Context(), job, tidings.Batch{Events: append(notes(0, 3), event(tidings.TypeDone, "{}")), Producer: p}); err != nil {
			t.Errorf("append: %v", err)
			return
		}
		if err := s.Delete(t.Context(), job); err != nil {
			t.Errorf("delete: %v", err)
			return
		}
	}
}

// rest waits while a crash is looked at, or the feed would get long.
func rest(gate *sync.RWMutex) {
	gate.RLock()
	defer gate.RUnlock()
}

// checkProducer wants the producer's state to be that of its last batch in the
// log: the same again is a duplicate, the next is taken.
func checkProducer(t *testing.T, s *Store, w int) {
	t.Helper()
	last := -1
	events, err := tryReadAll(t, s, crashJob(w))
	if err != nil && !errors.Is(err, tidings.ErrUnknownJob) {
		t.Fatal(err)
	}
	for i := range events {
		var round, writer, n, at, of int
		if _, err := fmt.Sscanf(string(events[i].Data), `{"round":%d,"w":%d,"batch":%d,"i":%d,"of":%d}`, &round, &writer, &n, &at, &of); err != nil {
			t.Fatal(err)
		}
		if writer == w {
			last = n
		}
	}
	if last >= 0 {
		if r, err := s.Append(t.Context(), crashJob(w), crashBatch(0, w, last)); err != nil || !r.Duplicate {
			t.Errorf("writer %d sends batch %d again: %+v, %v; want a duplicate", w, last, r, err)
		}
	}
	if r, err := s.Append(t.Context(), crashJob(w), crashBatch(0, w, last+1)); err != nil || r.Duplicate {
		t.Errorf("writer %d sends batch %d: %+v, %v; want it taken", w, last+1, r, err)
	}
}

// A process that appends is killed with -9, again and again on the same folder.
func TestKillLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	folder := t.TempDir()
	var ledger logtest.Ledger
	for round := range 6 {
		killRound(t, folder, &ledger, round)
		s, err := Open(folder, quiet())
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		ledger.Check(t, s)
		checkConsistent(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killRound starts a writer, kills it after some acknowledgements and notes in
// the ledger what it said until then.
func killRound(t *testing.T, folder string, ledger *logtest.Ledger, round int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "PEBBLELOG_TEST_ROLE=writer", "PEBBLELOG_TEST_FOLDER="+folder, "PEBBLELOG_TEST_ROUND="+strconv.Itoa(round))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acks, wanted := 0, 100+rand.IntN(300)
	sent := map[string]*logtest.Sent{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if noteLine(t, ledger, sent, round, words) {
			acks++
		}
		if acks == wanted {
			_ = cmd.Process.Kill() // the pipe still holds what was said before
		}
	}
	_ = cmd.Wait() // killed
	if acks < wanted {
		t.Fatalf("writer ended after %d acknowledgements: %s", acks, stderr.String())
	}
}

// noteLine reads "S writer batch" or "A writer batch id id …".
func noteLine(t *testing.T, ledger *logtest.Ledger, sent map[string]*logtest.Sent, round int, words []string) (ack bool) {
	t.Helper()
	w, err1 := strconv.Atoi(words[1])
	n, err2 := strconv.Atoi(words[2])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	key := words[1] + " " + words[2]
	if words[0] == "S" {
		sent[key] = ledger.Sending(crashJob(w), crashBatch(round, w, n).Events)
		return false
	}
	var r tidings.Receipt
	for _, word := range words[3:] {
		id, err := tidings.ParseID(word)
		if err != nil {
			t.Fatal(err)
		}
		r.IDs = append(r.IDs, id)
	}
	sent[key].Acked(r)
	return true
}

// playWriter is the process that is killed.
func playWriter(folder string) error {
	round, err := strconv.Atoi(os.Getenv("PEBBLELOG_TEST_ROUND"))
	if err != nil {
		return err
	}
	s, err := Open(folder, quiet())
	if err != nil {
		return err
	}
	var out sync.Mutex
	say := func(text string) {
		out.Lock()
		defer out.Unlock()
		_, _ = os.Stdout.WriteString(text + "\n") // one write a line
	}
	failed := make(chan error)
	for w := range 6 {
		go func() {
			for n := 0; ; n++ {
				say(fmt.Sprintf("S %d %d", w, n))
				r, err := s.Append(context.Background(), crashJob(w), crashBatch(round, w, n))
				if err != nil {
					failed <- err
					return
				}
				line := fmt.Sprintf("A %d %d", w, n)
				for _, id := range r.IDs {
					line += " " + id.String()
				}
				say(line)
			}
		}()
	}
	return <-failed
}
