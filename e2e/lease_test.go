package e2e

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/client"
)

const leaseTTL = 2 * time.Second

// TestWorker is not a test: it is the worker process that TestDeadWorker kills.
func TestWorker(t *testing.T) {
	url, job := os.Getenv("TIDINGS_TEST_URL"), os.Getenv("TIDINGS_TEST_JOB")
	if url == "" {
		t.Skip("runs as a process of TestDeadWorker only")
	}
	c, err := client.New(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := tidings.Start(t.Context(), job, c, &tidings.HandlerOptions{
		Epoch: 1, HeartbeatEvery: leaseTTL / 4, LeaseTTL: leaseTTL,
	})
	h.Phase(t.Context(), "work")
	if err := h.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("working\n")
	<-t.Context().Done() // until killed
}

// A worker is killed: its viewers are told that the job is stalled, and that it
// has resumed when another takes over with a higher epoch, while the zombie is
// refused.
func TestDeadWorker(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, s *server) {
		ctx := testContext(t, time.Minute)
		worker := exec.Command(os.Args[0], "-test.run=^TestWorker$", "-test.v")
		worker.Env = append(os.Environ(), "TIDINGS_TEST_URL="+s.url(), "TIDINGS_TEST_JOB=job")
		dieWithTest(worker)
		out, err := worker.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := worker.Start(); err != nil {
			t.Fatal(err)
		}
		for sc := bufio.NewScanner(out); sc.Scan() && !strings.Contains(sc.Text(), "working"); {
		}

		v := s.viewer("job")
		watching, stop := context.WithCancel(ctx)
		defer stop()
		told := make(chan string, 16)
		go v.follow(watching, told)
		expect(t, told, "phase_update") // the job
		expect(t, told, "phase_update") // its phase

		eventually(t, 20*time.Second, "the job has a lease", func() bool {
			job, err := s.client(nil).Job(ctx, "job")
			return err == nil && job.LeaseUntil != nil
		})
		_ = worker.Process.Kill()
		_ = worker.Wait()
		killed := time.Now()
		expect(t, told, "stalled")
		t.Logf("stalled %s after the kill, lease %s", time.Since(killed).Round(time.Millisecond), leaseTTL)
		job, err := s.client(nil).Job(ctx, "job")
		if err != nil || !job.Stalled(time.Now(), 0) {
			t.Errorf("the job is not shown as stalled: %+v, %v", job, err)
		}

		retry := tidings.Start(ctx, "job", s.client(nil), &tidings.HandlerOptions{Epoch: 2, LeaseTTL: leaseTTL})
		retry.Custom("back", true)
		expect(t, told, "resumed")
		expect(t, told, "phase_update")
		expect(t, told, "custom")

		producer := tidings.Producer{ID: tidings.DefaultProducerID, Epoch: 1, Seq: 1}
		_, err = s.client(nil).Append(ctx, "job", tidings.Batch{Events: oneEvent(t).Events, Producer: &producer})
		if fenced, ok := errors.AsType[*tidings.FencedError](err); !ok || fenced.Current != 2 {
			t.Errorf("the zombie was answered %v", err)
		}
		retry.End("fine", nil)
		if err := retry.Close(ctx); err != nil {
			t.Error(err)
		}
		expect(t, told, "done")
		expect(t, told, "end")
	})
}

func expect(t *testing.T, told <-chan string, want string) {
	t.Helper()
	select {
	case got := <-told:
		if got != want {
			t.Fatalf("the viewer was told %q, want %q", got, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("the viewer was not told %q", want)
	}
}

func oneEvent(t testing.TB) tidings.Batch {
	return tidings.Batch{Events: []tidings.Event{event(t, "custom", map[string]string{"say": "hello"})}}
}

// Viewers of a server that goes down in good order are told when to come back,
// and what was acknowledged is there after it is up again.
func TestGracefulShutdown(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, s *server) {
		ctx := testContext(t, time.Minute)
		want := fill(ctx, t, s.client(nil), "job", 10)
		v := s.viewer("job")
		connected := make(chan error, 1)
		go func() {
			_, err := v.connect(ctx, -1)
			connected <- err
		}()
		eventually(t, 10*time.Second, "the viewer is connected", func() bool { return s.viewers() == 1 })
		if err := s.stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if err := <-connected; err != nil {
			t.Error(err)
		}
		s.start()
		want = append(want, finish(ctx, t, s.client(nil), "job"))
		for {
			done, err := v.connect(ctx, -1)
			if err != nil {
				t.Fatal(err)
			}
			if done {
				break
			}
		}
		if !slices.Equal(v.ids, want) {
			t.Errorf("the viewer has %v, want %v", v.ids, want)
		}
	})
}
