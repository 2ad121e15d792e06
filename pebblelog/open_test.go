package pebblelog

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tidings"
)

// refused wants Open to fail with an error that says all of the words.
func refused(t *testing.T, dir string, o *Options, words ...string) {
	t.Helper()
	s, err := Open(dir, o)
	if err == nil {
		_ = s.Close()
		t.Fatalf("open succeeded; want it refused")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

// Who deletes the database and leaves the folder of the monitor in it gets a new one.
func TestOpenBesideTheMonitor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "monitor"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "monitor", "checkpoint"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesFolderInUse(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, quiet())
	appendTo(t, s, "job", notes(0, 1)...)
	refused(t, dir, quiet(), dir, "in use by another process; stop it or give another --data folder")
	if got := len(readAll(t, s, "job")); got != 1 {
		t.Errorf("the first store has %d events after that; want 1", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, quiet())
	if got := len(readAll(t, again, "job")); got != 1 {
		t.Errorf("the next store has %d events; want 1", got)
	}
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "thesis.txt")
	if err := os.WriteFile(name, []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, quiet(), "thesis.txt", "give an empty or a new --data folder")
	if text, err := os.ReadFile(name); string(text) != "years of work" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	refused(t, name, quiet(), "thesis.txt")
}

// Another process gets the same answer, and the first store does not notice.
func TestOpenRefusesSecondProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, quiet())
	appendTo(t, s, "job", notes(0, 1)...)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "PEBBLELOG_TEST_ROLE=second", "PEBBLELOG_TEST_FOLDER="+dir)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by another process") {
		t.Errorf("the second process ended with %v and said %q; want it refused", err, out)
	}
	appendTo(t, s, "job", notes(1, 1)...)
	if got := len(readAll(t, s, "job")); got != 2 {
		t.Errorf("the first store has %d events after that; want 2", got)
	}
}

func playSecond(folder string) error {
	s, err := Open(folder, quiet())
	if err != nil {
		return err
	}
	return s.Close()
}

// setFormat gives a folder with a database in which V has that value.
func setFormat(t *testing.T, key, value string) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	db, err := pebble.Open("data", &pebble.Options{FS: fs, Logger: pebbleLogger{&Store{log: quiet().Logger}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte(key), []byte(value), pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestOpenRefusesOtherFormats(t *testing.T) {
	for name, c := range map[string]struct {
		key, value string
		words      []string
	}{
		"foreign database": {"users/1", "Ada", []string{"none that this program made"}},
		"newer":            {"V", "tidings 2 abc", []string{"format version 2", "newer version of this program"}},
		"version 0":        {"V", "tidings 0 abc", []string{"format version 0", "can't read"}},
		"no number":        {"V", "tidings one abc", []string{"damaged"}},
		"someone else's V": {"V", "1", []string{"damaged"}},
	} {
		t.Run(name, func(t *testing.T) {
			fs := setFormat(t, c.key, c.value)
			refused(t, "data", onMem(fs), c.words...)
			db, err := pebble.Open("data", &pebble.Options{FS: fs, Logger: pebbleLogger{&Store{log: quiet().Logger}}})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if got := rawKeys(t, db); len(got) != 1 || got[c.key] != c.value {
				t.Errorf("the folder holds %q; want it as it was", got)
			}
		})
	}
}

// An older format is brought up to date, in one step with the version that says
// so; a step that fails changes nothing.
func TestOpenMigrates(t *testing.T) {
	fs := setFormat(t, "V", "tidings 0 abc")
	t.Cleanup(func() { delete(migrations, 0) })
	migrations[0] = func(db *pebble.DB, b *pebble.Batch) error {
		return errors.Join(b.Set([]byte("half"), nil, nil), fmt.Errorf("no time"))
	}
	refused(t, "data", onMem(fs), "from format version 0 to 1: no time")
	migrations[0] = func(db *pebble.DB, b *pebble.Batch) error {
		if _, ok, err := get(db, []byte("half")); ok || err != nil {
			t.Errorf("the step that failed left a half behind (%v)", err)
		}
		return b.Set(keyNextNumber, []byte("\x00\x00\x00\x00\x00\x00\x00\x07"), nil)
	}
	s := open(t, "data", onMem(fs))
	appendTo(t, s, "job", notes(0, 1)...)
	if snap, err := s.view("job"); err != nil || snap.number != 7 {
		t.Errorf("job: %+v, %v; want number 7", snap, err)
	}
	if s.id != "abc" {
		t.Errorf("store ID is %q; want abc", s.id)
	}
	if got := rawKeys(t, s.db)["V"]; got != "tidings 1 abc" {
		t.Errorf("format is %q", got)
	}
}

// A creation that was cut short is finished by the next start.
func TestOpenFinishesCreation(t *testing.T) {
	fs := vfs.NewMem()
	db, err := pebble.Open("data", &pebble.Options{FS: fs, Logger: pebbleLogger{&Store{log: quiet().Logger}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, "data", onMem(fs))
	appendTo(t, s, "job", notes(0, 1)...)

	leftovers := vfs.NewMem()
	if err := leftovers.MkdirAll("data/lost+found", 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := leftovers.Create("data/MANIFEST-000001", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	appendTo(t, open(t, "data", onMem(leftovers)), "job", notes(0, 1)...)
}

// A folder that was made stays when the machine crashes at once.
func TestOpenSyncsNewFolders(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, "var/lib/data", onMem(fs))
	appendTo(t, s, "job", notes(0, 1)...)
	after := fs.CrashClone(vfs.CrashCloneCfg{})
	if got := len(readAll(t, open(t, "var/lib/data", onMem(after)), "job")); got != 1 {
		t.Errorf("%d events are there after the crash; want 1", got)
	}
}

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "data"), quiet())
	appendTo(t, s, "job", notes(0, 3)...)
	backup := filepath.Join(dir, "backup")
	if err := s.Backup(backup); err != nil {
		t.Fatal(err)
	}
	later := appendTo(t, s, "job", notes(3, 1)...)
	b := open(t, backup, quiet())
	if got := len(readAll(t, b, "job")); got != 3 {
		t.Errorf("the backup has %d events; want 3", got)
	}
	// Who saw more than the backup has is told.
	_, err := b.Read(t.Context(), "job", tidings.Query{After: tidings.Cursor{ID: later.LastID}})
	if _, ok := errors.AsType[*tidings.RewoundError](err); !ok {
		t.Errorf("cursor of later: %v; want a RewoundError", err)
	}
	if err := s.Backup(backup); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("backup into a folder that exists: %v", err)
	}
}

func TestCloseTwiceAndCallsAfter(t *testing.T) {
	s := openMem(t)
	appendTo(t, s, "job", notes(0, 1)...)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	calls := map[string]func() error{
		"append":    func() error { _, err := s.Append(ctx, "job", tidings.Batch{Events: notes(0, 1)}); return err },
		"heartbeat": func() error { return s.Heartbeat(ctx, "job", tidings.Lease{}) },
		"read":      func() error { _, err := s.Read(ctx, "job", tidings.Query{}); return err },
		"follow":    func() error { _, err := s.Follow(ctx, "job", tidings.Cursor{}); return err },
		"job":       func() error { _, err := s.Job(ctx, "job"); return err },
		"jobs":      func() error { _, err := s.Jobs(ctx, tidings.JobsQuery{}); return err },
		"delete":    func() error { return s.Delete(ctx, "job") },
		"feed":      func() error { _, err := s.Feed(ctx, ""); return err },
		"retain":    func() error { return s.Retain(ctx) },
		"backup":    func() error { return s.Backup("elsewhere") },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, tidings.ErrStoreClosed) {
			t.Errorf("%s: %v; want ErrStoreClosed", name, err)
		}
	}
	if h := s.Health(ctx); h.Ready {
		t.Error("a closed store says it is ready")
	}
	if m := s.Metrics(); m != (Metrics{}) {
		t.Errorf("metrics of a closed store: %+v", m)
	}
}
