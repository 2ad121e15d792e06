package pebblelog

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings"
)

// A folder that format version 1 wrote is opened by every later version, and
// everything is in it. With -update it is written anew, which only a new format
// version is a reason for.
func TestOpenFolderOfVersion1(t *testing.T) {
	const kept = "testdata/folder-v1"
	if *update {
		if err := os.RemoveAll(kept); err != nil {
			t.Fatal(err)
		}
		writeFolder(t, kept)
	}
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, quiet())
	var got []string
	for _, j := range allJobs(t, s, tidings.JobsQuery{}) {
		got = append(got, j.ID+" "+string(j.Status)+" "+j.Name+" "+j.Incarnation)
		for _, e := range readAll(t, s, j.ID) {
			got = append(got, strings.Join([]string{e.ID.String(), e.Type, e.Time.Format(time.RFC3339Nano), string(e.Data)}, " "))
		}
	}
	golden(t, kept+".golden", strings.Join(got, "\n")+"\n")
	checkConsistent(t, s)
	r, err := s.Append(t.Context(), "running", tidings.Batch{Events: notes(1, 1), Producer: &tidings.Producer{ID: "p"}})
	if err != nil || !r.Duplicate {
		t.Errorf("a batch of then: %+v, %v; want a duplicate", r, err)
	}
	if j, err := s.Job(t.Context(), "running"); err != nil || j.LeaseUntil == nil {
		t.Errorf("job: %+v, %v; want it with a lease", j, err)
	}
}

func writeFolder(t *testing.T, dir string) {
	t.Helper()
	s := open(t, dir, quiet())
	spec := tidings.JobSpec{ID: "running", Name: "a <name>", Labels: map[string]string{"team": "é"}}
	if _, _, err := tidings.Create(t.Context(), s, spec); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), "running", tidings.Batch{Events: notes(0, 2), Producer: &tidings.Producer{ID: "p"}}); err != nil {
		t.Fatal(err)
	}
	heartbeat(t, s, "running", tidings.Lease{TTL: time.Minute})
	appendTo(t, s, "done", started, event("their.own", `{"n":1.00e2,"n":1}`), event(tidings.TypeDone, `{"output":"x"}`))
	appendTo(t, s, "gone", notes(0, 1)...)
	if err := s.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// The listing of what a folder holds besides the store's files stays the same
// through opening and closing: nothing is left lying about.
func TestFolderStaysTidy(t *testing.T) {
	dir := t.TempDir()
	count := func() int {
		s, err := Open(dir, quiet())
		if err != nil {
			t.Fatal(err)
		}
		appendTo(t, s, "job", notes(0, 1)...)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	var counts []int
	for range 12 {
		counts = append(counts, count())
	}
	if most := slices.Max(counts[6:]); most > slices.Max(counts[:6])+2 {
		t.Errorf("the number of files grows: %v", counts)
	}
}
