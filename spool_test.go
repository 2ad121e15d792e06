package tidings_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings"
	"tidings/internal/memlog"
)

func spoolFiles(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, filepath.Join(dir, e.Name()))
	}
	return out
}

// spooled starts a job whose store is away, publishes the names and closes the
// handler, as a worker does that is told to go. It gives the spool file.
func spooled(t *testing.T, store *memlog.Log, dir string, opts tidings.HandlerOptions, from, to int) string {
	t.Helper()
	store.Fault = func(int) memlog.Fault { return memlog.Fault{Before: tidings.ErrUnavailable} }
	opts.SpoolDir, opts.Logger = dir, quiet()
	job := tidings.Start(t.Context(), "job", store, &opts)
	for i := from; i < to; i++ {
		job.Custom(fmt.Sprint(i), strings.Repeat("x", 100))
		if i%5 == 0 {
			synctest.Wait()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := job.Close(ctx); err != nil {
		t.Fatalf("Close with a spool: %v", err)
	}
	if s := job.Stats(); s.Dropped != 0 || s.QueuedBytes != 0 || s.Spooled != int64(to-from)+1 {
		t.Fatalf("stats %+v", s)
	}
	store.Fault = nil
	files := spoolFiles(t, dir)
	return files[len(files)-1]
}

func inBubble(t *testing.T, f func(t *testing.T, dir string)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { f(t, dir) })
}

func TestCloseLeavesWhatIsUnsentInTheSpool(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := memlog.New()
		spooled(t, store, dir, tidings.HandlerOptions{QueueBytes: 20 << 10}, 0, 500)
		report, err := tidings.ResumeSpool(t.Context(), dir, store)
		if err != nil || report.Files != 1 || report.Events != 501 {
			t.Fatalf("ResumeSpool gave %+v, %v", report, err)
		}
		equal(t, names(t, store, "job"), numbered(500))
		if left := spoolFiles(t, dir); len(left) != 0 {
			t.Errorf("files left: %v", left)
		}
	})
}

func TestNextStartTakesUpTheSpool(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := memlog.New()
		spooled(t, store, dir, tidings.HandlerOptions{Epoch: 1}, 0, 5)
		spooled(t, store, dir, tidings.HandlerOptions{Epoch: 2}, 5, 10)
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Epoch: 3, SpoolDir: dir, Logger: quiet()})
		job.Custom("10", nil)
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, names(t, store, "job"), numbered(11))
		if left := spoolFiles(t, dir); len(left) != 0 {
			t.Errorf("files left: %v", left)
		}
	})
}

func TestResumingTwiceGivesNoDuplicate(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := memlog.New()
		path := spooled(t, store, dir, tidings.HandlerOptions{}, 0, 2000)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// The process that resumes dies with half of it appended.
		store.Fault = func(call int) memlog.Fault {
			if call%5 == 4 {
				return memlog.Fault{After: tidings.ErrUnavailable}
			}
			return memlog.Fault{}
		}
		if _, err := tidings.ResumeSpool(t.Context(), dir, store); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil { // as if it had not been removed
			t.Fatal(err)
		}
		if report, err := tidings.ResumeSpool(t.Context(), dir, store); err != nil || report.Files != 1 {
			t.Fatalf("ResumeSpool gave %+v, %v", report, err)
		}
		equal(t, names(t, store, "job"), numbered(2000))
	})
}

// TestTornSpool cuts the file everywhere and damages it: what is resumed is
// always a beginning of what was published, and never an error.
func TestTornSpool(t *testing.T) {
	dir := t.TempDir()
	var text []byte
	var name string
	synctest.Test(t, func(t *testing.T) {
		path := spooled(t, memlog.New(), dir, tidings.HandlerOptions{QueueBytes: 4 << 10}, 0, 100)
		text, _ = os.ReadFile(path)
		name = filepath.Base(path)
	})
	resume := func(t *testing.T, text []byte) int {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		store := memlog.New()
		if _, err := tidings.ResumeSpool(t.Context(), dir, store); err != nil {
			return -1
		}
		got := names(t, store, "job")
		equal(t, got, numbered(len(got)))
		return len(got)
	}
	last := 0
	for cut := len(text); cut > 0; cut -= 1 + len(text)/60 {
		n := resume(t, text[:cut])
		if cut == len(text) {
			if last = n; n != 100 {
				t.Fatalf("%d of 100 events in the whole file", n)
			}
		}
		if n > last {
			t.Errorf("%d events in a file of %d bytes, but %d in a longer one", n, cut, last)
		}
		last = n
	}
	for at := 200; at < len(text); at += 997 {
		damaged := append([]byte(nil), text...)
		damaged[at] ^= 0x40
		resume(t, damaged)
	}
}

func TestSpoolOfAFencedHandlerIsPutAside(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := memlog.New()
		spooled(t, store, dir, tidings.HandlerOptions{Epoch: 1}, 0, 5)
		next := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Epoch: 2})
		if err := next.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		report, err := tidings.ResumeSpool(t.Context(), dir, store)
		if err != nil || report.Refused != 1 {
			t.Errorf("ResumeSpool gave %+v, %v", report, err)
		}
		if left := spoolFiles(t, dir); len(left) != 1 || !strings.HasSuffix(left[0], ".refused") {
			t.Errorf("files left: %v", left)
		}
		equal(t, names(t, store, "job"), nil)
	})
}

func TestSpoolOfARunningHandlerIsLeftAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := memlog.New()
		store.Fault = func(int) memlog.Fault { return memlog.Fault{Before: tidings.ErrUnavailable} }
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{SpoolDir: dir, QueueBytes: 4 << 10, Logger: quiet()})
		for i := range 100 {
			job.Custom(fmt.Sprint(i), nil)
			synctest.Wait()
		}
		if s := job.Stats(); s.Spooled == 0 || s.QueuedBytes > 4<<10 {
			t.Fatalf("stats %+v", s)
		}
		report, err := tidings.ResumeSpool(t.Context(), dir, memlog.New())
		if err != nil || report.InUse != 1 || report.Files != 0 {
			t.Errorf("ResumeSpool gave %+v, %v", report, err)
		}
		store.Mu.Lock()
		store.Fault = nil
		store.Mu.Unlock()
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, names(t, store, "job"), numbered(100))
	})
}

func TestFullSpoolDropsAndReports(t *testing.T) {
	inBubble(t, func(t *testing.T, dir string) {
		store := memlog.New()
		store.Fault = func(int) memlog.Fault { return memlog.Fault{Before: tidings.ErrUnavailable} }
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{SpoolDir: dir, QueueBytes: 4 << 10, SpoolBytes: 8 << 10, Logger: quiet()})
		for i := range 300 {
			job.Custom(fmt.Sprint(i), nil)
			synctest.Wait()
		}
		dropped := job.Stats().Dropped
		if dropped == 0 {
			t.Fatal("nothing was dropped")
		}
		store.Mu.Lock()
		store.Fault = nil
		store.Mu.Unlock()
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		kept := 300 - int(dropped)
		equal(t, names(t, store, "job"), append(numbered(kept), "tidings.dropped"))
	})
}

func TestMissingSpoolFolderIsEmpty(t *testing.T) {
	report, err := tidings.ResumeSpool(t.Context(), filepath.Join(t.TempDir(), "none"), memlog.New())
	if err != nil || report != (tidings.SpoolReport{}) {
		t.Errorf("ResumeSpool gave %+v, %v", report, err)
	}
}

func FuzzSpool(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00H"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		// Frames with good checksums, so that what is in them is looked at.
		dir := t.TempDir()
		text := frame(append([]byte("H"), `{"format":1,"job_id":"job","producer_id":"p"}`...))
		text = append(text, frame([]byte("M\x00\x02\x00"))...)
		text = append(text, frame(payload)...)
		if err := os.WriteFile(filepath.Join(dir, "x.spool"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = tidings.ResumeSpool(t.Context(), dir, memlog.New())
	})
}

func frame(payload []byte) []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	out = binary.LittleEndian.AppendUint32(out, crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
	return append(out, payload...)
}
