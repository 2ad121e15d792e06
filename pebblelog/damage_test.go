package pebblelog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"tidings"
)

// One bit is flipped somewhere in the folder of a store that was closed: it is
// told, or it does no harm. Nothing is missing or different in silence.
func TestDamageIsReported(t *testing.T) {
	healthy := vfs.NewCrashableMem()
	want := fillForDamage(t, healthy, true)
	told := 0
	for _, name := range folderFiles(t, healthy) {
		for _, at := range flips(t, healthy, name, 24) {
			fs := copyOf(healthy)
			flipBit(t, fs, name, at)
			got, err := tryContents(t, fs)
			if err != nil {
				told++
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("bit %d of byte %d in %s flipped, and nothing told (-before +after):\n%.600s", at%8, at/8, name, diff)
			}
		}
	}
	if told == 0 {
		t.Error("no flip was told: the test tests nothing")
	}
}

// The same for a store that was killed, whose write-ahead log is read at the
// start. There the last thing written can't be told from one that was being
// written: only that may be missing.
func TestDamageOfLogIsReported(t *testing.T) {
	healthy := vfs.NewCrashableMem()
	want := fillForDamage(t, healthy, false)
	wal := slices.DeleteFunc(folderFiles(t, healthy), func(name string) bool { return !strings.HasSuffix(name, ".log") })
	told := 0
	for _, name := range wal {
		for _, at := range flips(t, healthy, name, 200) {
			fs := copyOf(healthy)
			flipBit(t, fs, name, at)
			got, err := tryContents(t, fs)
			if err != nil {
				told++
				continue
			}
			if last := len(want) - 1; !cmp.Equal(want, got) && !cmp.Equal(want[:last], got) {
				t.Errorf("bit %d of byte %d in %s flipped, and nothing told: %d of %d events are there", at%8, at/8, name, len(got), len(want))
			}
		}
	}
	if told == 0 {
		t.Error("no flip was told: the test tests nothing")
	}
}

// Opening a damaged folder deletes nothing.
func TestDamagedFolderIsLeftAsItIs(t *testing.T) {
	healthy := vfs.NewCrashableMem()
	fillForDamage(t, healthy, true)
	opened := copyOf(healthy)
	if _, err := tryContents(t, opened); err != nil {
		t.Fatal(err)
	}
	live := folderFiles(t, opened) // without what is no longer used
	for _, part := range []string{"MANIFEST-", ".sst"} {
		fs := copyOf(healthy)
		for _, name := range folderFiles(t, fs) {
			if strings.Contains(name, part) {
				rewrite(t, fs, name, func(b []byte) {
					for i := range b {
						b[i] ^= 1
					}
				})
			}
		}
		before := folderFiles(t, fs)
		if _, err := tryContents(t, fs); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s damaged: error %v; want one that says so", part, err)
		}
		after := folderFiles(t, fs)
		for _, name := range before {
			if !slices.Contains(after, name) && slices.Contains(live, name) {
				t.Errorf("%s damaged: %s was deleted", part, name)
			}
		}
	}
}

// A table that is missing altogether, or the file that names the manifest.
func TestMissingFilesAreReported(t *testing.T) {
	healthy := vfs.NewCrashableMem()
	fillForDamage(t, healthy, true)
	for _, part := range []string{".sst", "MANIFEST-", "marker.manifest"} {
		fs := copyOf(healthy)
		for _, name := range folderFiles(t, fs) {
			if strings.Contains(name, part) {
				if err := fs.Remove("data/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got, err := tryContents(t, fs); err == nil {
			t.Errorf("%s is missing, and opening tells nothing; %d events are there", part, len(got))
		}
	}
}

// fillForDamage writes a store on fs and gives what is in it. It is closed, or
// left as a kill leaves it.
func fillForDamage(t *testing.T, fs *vfs.MemFS, close bool) []string {
	t.Helper()
	s := open(t, "data", onMem(fs))
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		text := make([]byte, 300)
		for j := range text {
			text[j] = 'a' + byte(rng.IntN(26))
		}
		data, _ := json.Marshal(map[string]string{"text": string(text)})
		appendTo(t, s, fmt.Sprintf("job-%d", i%3), tidings.Event{Type: tidings.TypeCustom, Data: data})
	}
	want, err := contents(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if close {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return want
}

// contents gives everything in the store as text, by the order of the IDs.
func contents(t *testing.T, s *Store) (all []string, err error) {
	jobs, err := tryAllJobs(t, s, tidings.JobsQuery{})
	if err != nil {
		return nil, err
	}
	for _, job := range jobs {
		events, err := tryReadAll(t, s, job.ID)
		if err != nil {
			return nil, err
		}
		if int64(len(events)) != job.Events {
			return nil, fmt.Errorf("job %s has %d events, not %d", job.ID, len(events), job.Events)
		}
		for _, e := range events {
			all = append(all, fmt.Sprintf("%d-%06d %s %s %s %s", e.ID.Ms, e.ID.Seq, e.JobID, e.Type, e.Time, e.Data))
		}
	}
	slices.Sort(all)
	return all, nil
}

// tryContents opens the store on fs and reads everything.
func tryContents(t *testing.T, fs vfs.FS) ([]string, error) {
	o := onMem(fs)
	o.OnFatal = func(error) {}
	s, err := Open("data", o)
	if err != nil {
		return nil, err
	}
	got, err := contents(t, s)
	if closeErr := s.Close(); err == nil && closeErr != nil {
		err = closeErr
	}
	return got, err
}

func copyOf(fs *vfs.MemFS) *vfs.MemFS { return fs.CrashClone(vfs.CrashCloneCfg{}) }

func folderFiles(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List("data")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// flips are bits of a file to flip: a number of them, spread over what is
// written of it.
func flips(t *testing.T, fs vfs.FS, name string, n int) (bits []int64) {
	t.Helper()
	size := int64(len(bytes.TrimRight(fileBytes(t, fs, name), "\x00"))) // a log is preallocated
	rng := rand.New(rand.NewPCG(5, uint64(size)))
	for i := range int64(n) {
		if size > 0 {
			bits = append(bits, size*8*i/int64(n)+rng.Int64N(8))
		}
	}
	return slices.Compact(bits)
}

func fileBytes(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open("data/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func flipBit(t *testing.T, fs vfs.FS, name string, bit int64) {
	t.Helper()
	rewrite(t, fs, name, func(b []byte) { b[bit/8] ^= 1 << (bit % 8) })
}

func rewrite(t *testing.T, fs vfs.FS, name string, change func([]byte)) {
	t.Helper()
	b := fileBytes(t, fs, name)
	change(b)
	f, err := fs.Create("data/"+name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
