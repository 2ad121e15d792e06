package pebblelog

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"tidings"
)

var errDisk = errors.New("input/output error")

// breakWAL fails an operation on the write-ahead log once broken is set.
func breakWAL(fs vfs.FS, broken *atomic.Bool, kinds ...errorfs.OpKind) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !broken.Load() || !strings.HasSuffix(op.Path, ".log") {
			return nil
		}
		for _, kind := range kinds {
			if op.Kind == kind {
				return errDisk
			}
		}
		return nil
	}))
}

var walFailures = map[string][]errorfs.OpKind{
	"sync":  {errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo},
	"write": {errorfs.OpFileWrite},
}

// A failed write ends the process. If the hook keeps it alive, nothing more is
// taken, and what was not acknowledged is not shown.
func TestFailedWriteIsFatal(t *testing.T) {
	for name, kinds := range walFailures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			var told atomic.Pointer[error]
			o := onMem(breakWAL(vfs.NewMem(), &broken, kinds...))
			o.OnFatal = func(err error) { told.Store(&err) }
			s := open(t, "data", o)
			kept := appendTo(t, s, "job", notes(0, 2)...)

			broken.Store(true)
			_, err := s.Append(t.Context(), "job", tidings.Batch{Events: notes(2, 1)})
			if !errors.Is(err, tidings.ErrUnavailable) {
				t.Errorf("append on a broken disk: %v; want ErrUnavailable", err)
			}
			if told.Load() == nil {
				t.Fatal("OnFatal was not called")
			}
			broken.Store(false)
			if _, err := s.Append(t.Context(), "job", tidings.Batch{Events: notes(3, 1)}); !errors.Is(err, tidings.ErrUnavailable) {
				t.Errorf("append after that: %v; want ErrUnavailable", err)
			}
			if j, err := s.Job(t.Context(), "job"); err != nil || j.LastID != kept.LastID {
				t.Errorf("job: %+v, %v; want it as it was", j, err)
			}
			if h := s.Health(t.Context()); h.Ready || h.Error == "" {
				t.Errorf("health: %+v; want not ready", h)
			}
		})
	}
}

// Without a hook the process exits with status 1 and has said why.
func TestFailedWriteExits(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "PEBBLELOG_TEST_ROLE=broken disk")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), "can't be written") {
		t.Errorf("process ended with %v and said %q; want status 1 and the reason", err, stderr.String())
	}
}

func playBrokenDisk(string) error {
	var broken atomic.Bool
	o := onMem(breakWAL(vfs.NewMem(), &broken, walFailures["sync"]...))
	o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	s, err := Open("data", o)
	if err != nil {
		return err
	}
	broken.Store(true)
	_, err = s.Append(context.Background(), "job", tidings.Batch{Events: notes(0, 1)})
	return errors.Join(errors.New("still alive"), err)
}

// While a group is written but not synced, Pebble shows it already: nobody may
// see it through the store.
func TestReadersSeeOnlyWhatIsSynced(t *testing.T) {
	d := newSlowDisk()
	s := open(t, "data", onMem(d.fs))
	t.Cleanup(d.release) // or a failed test would not end
	first := appendTo(t, s, "old", notes(0, 1)...)
	f, err := s.Follow(t.Context(), "old", tidings.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Next(t.Context()); err != nil {
		t.Fatal(err)
	}

	d.hold()
	acked := make(chan error, 2)
	go func() {
		_, err := s.Append(t.Context(), "old", tidings.Batch{Events: notes(1, 1)})
		acked <- err
	}()
	d.awaitSync()
	// Or the test would test nothing.
	eventually(t, "Pebble shows the unsynced record", func() bool {
		return strings.Contains(rawKeys(t, s.db)[string(appendJobKey(nil, "old"))], `"events":2`)
	})
	j, err := s.Job(t.Context(), "old")
	if err != nil || j.LastID != first.LastID {
		t.Errorf("job: %+v, %v; want last ID %s", j, err, first.LastID)
	}
	if got := readAll(t, s, "old"); len(got) != 1 {
		t.Errorf("read gives %d events; want 1", len(got))
	}
	if got := wholeFeed(t, s, ""); len(got) != 1 {
		t.Errorf("feed gives %d changes; want 1", len(got))
	}
	if events, err := f.(*follower).look(t.Context()); len(events) != 0 || err != nil {
		t.Errorf("follower gives %d events, %v; want none yet", len(events), err)
	}
	go func() {
		_, err := s.Append(t.Context(), "new", tidings.Batch{Events: notes(0, 1)})
		acked <- err
	}()
	d.release()
	for range 2 {
		if err := <-acked; err != nil {
			t.Error(err)
		}
	}
	if events, err := f.Next(t.Context()); len(events) != 1 || err != nil {
		t.Errorf("follower gives %d events, %v; want the synced one", len(events), err)
	}
}

// A job whose creation is not synced is not there yet.
func TestUnsyncedJobIsUnknown(t *testing.T) {
	d := newSlowDisk()
	s := open(t, "data", onMem(d.fs))
	t.Cleanup(d.release)
	d.hold()
	acked := make(chan error, 1)
	go func() {
		_, err := s.Append(t.Context(), "new", tidings.Batch{Events: notes(0, 1)})
		acked <- err
	}()
	d.awaitSync()
	eventually(t, "Pebble shows the unsynced record", func() bool {
		return rawKeys(t, s.db)[string(appendJobKey(nil, "new"))] != ""
	})
	if _, err := s.Job(t.Context(), "new"); !errors.Is(err, tidings.ErrUnknownJob) {
		t.Errorf("job: %v; want unknown", err)
	}
	if _, err := s.Follow(t.Context(), "new", tidings.Cursor{}); !errors.Is(err, tidings.ErrUnknownJob) {
		t.Errorf("follow: %v; want unknown", err)
	}
	if jobs := allJobs(t, s, tidings.JobsQuery{}); len(jobs) != 0 {
		t.Errorf("listing has %d jobs; want none", len(jobs))
	}
	d.release()
	if err := <-acked; err != nil {
		t.Fatal(err)
	}
	if jobs := allJobs(t, s, tidings.JobsQuery{}); len(jobs) != 1 {
		t.Errorf("listing has %d jobs; want 1", len(jobs))
	}
}

// A deletion that is not synced can't be seen either: who reads waits for it.
func TestUnsyncedDeletionIsNotSeen(t *testing.T) {
	d := newSlowDisk()
	s := open(t, "data", onMem(d.fs))
	t.Cleanup(d.release)
	appendTo(t, s, "job", notes(0, 5)...)
	d.hold()
	deleted := make(chan error, 1)
	go func() { deleted <- s.Delete(t.Context(), "job") }()
	d.awaitSync()
	eventually(t, "Pebble shows the unsynced deletion", func() bool {
		return rawKeys(t, s.db)[string(appendJobKey(nil, "job"))] == ""
	})
	type result struct {
		page tidings.Page
		err  error
	}
	read := make(chan result, 1)
	go func() {
		p, err := s.Read(t.Context(), "job", tidings.Query{})
		read <- result{p, err}
	}()
	d.release()
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	if r := <-read; !errors.Is(r.err, tidings.ErrUnknownJob) && len(r.page.Events) != 5 {
		t.Errorf("read during the deletion: %d events, %v; want all or unknown", len(r.page.Events), r.err)
	}
}

// slowDisk can hold the syncs of the write-ahead log.
type slowDisk struct {
	fs      vfs.FS
	gate    atomic.Pointer[chan struct{}]
	waiting chan struct{}
}

func newSlowDisk() *slowDisk {
	d := &slowDisk{waiting: make(chan struct{}, 1)}
	d.fs = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		gate := d.gate.Load()
		isSync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if gate == nil || !isSync || !strings.HasSuffix(op.Path, ".log") {
			return nil
		}
		select {
		case d.waiting <- struct{}{}:
		default:
		}
		<-*gate
		return nil
	}))
	return d
}

func (d *slowDisk) hold() {
	gate := make(chan struct{})
	d.gate.Store(&gate)
}

func (d *slowDisk) awaitSync() { <-d.waiting }

func (d *slowDisk) release() {
	if gate := d.gate.Swap(nil); gate != nil {
		close(*gate)
	}
}

// A folder whose log can't be brought into tables, as on a full disk, is given
// up with the reason: Pebble would try it for ever, and nobody could stop it.
func TestOpenOnAFullDiskGivesUp(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := open(t, "data", onMem(mem))
	kept := appendTo(t, s, "job", notes(0, 3)...)
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})

	var full atomic.Bool
	full.Store(true)
	told := make(chan error, 100)
	o := onMem(errorfs.Wrap(crashed, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && strings.HasSuffix(op.Path, ".sst") && op.Kind == errorfs.OpFileWrite {
			return errDisk
		}
		return nil
	})))
	o.OnFatal = func(err error) {
		full.Store(false) // in place of the process's end, and of space that was made
		told <- err
	}
	again := open(t, "data", o)
	select {
	case err := <-told:
		if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "make space") {
			t.Errorf("told %v; want the reason and what to do", err)
		}
	default:
		t.Error("a folder that can't be brought into shape was not given up")
	}
	if j, err := again.Job(t.Context(), "job"); err != nil || j.LastID != kept.LastID {
		t.Errorf("job: %+v, %v; want it as it was", j, err)
	}
}
