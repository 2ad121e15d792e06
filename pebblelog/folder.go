package pebblelog

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// openFolder locks the folder and opens the database in it.
func (s *Store) openFolder(dir string) (err error) {
	on := s.opts.fs
	if err := makeFolder(on, dir); err != nil {
		return fmt.Errorf("data folder %q can't be made: %w", dir, err)
	}
	if s.lock, err = pebble.LockDirectory(dir, on); err != nil {
		return lockError(dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Close())
		}
	}()
	if err := checkFolder(on, dir); err != nil {
		return err
	}
	if err := checkLogs(on, dir); err != nil {
		return folderError(dir, err)
	}
	s.state.opening.Store(true)
	s.db, err = pebble.Open(dir, s.pebbleOptions())
	s.state.opening.Store(false)
	if err != nil {
		return folderError(dir, err)
	}
	return nil
}

// makeFolder makes dir and what leads to it, for its owner alone, and syncs the
// folders that got an entry: or a crash could take the whole store along.
func makeFolder(on vfs.FS, dir string) error {
	var parents []string
	for d := dir; ; d = on.PathDir(d) {
		if _, err := on.Stat(d); err == nil || !errors.Is(err, fs.ErrNotExist) || d == on.PathDir(d) {
			break
		}
		parents = append(parents, on.PathDir(d))
	}
	if err := on.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, d := range parents {
		if err := syncFolder(on, d); err != nil {
			return err
		}
	}
	return nil
}

func syncFolder(on vfs.FS, dir string) error {
	f, err := on.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func lockError(dir string, err error) error {
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "lock held by current process") {
		return fmt.Errorf("data folder %q is in use by another process; stop it or give another --data folder", dir)
	}
	return fmt.Errorf("data folder %q can't be locked: %w", dir, err)
}

// folderError says what to do about a folder that can't be opened.
func folderError(dir string, err error) error {
	if pebble.IsCorruptionError(err) || isMalformed(err) {
		return fmt.Errorf("data folder %q is damaged and was left as it is; restore it from a backup or give another --data folder: %w", dir, err)
	}
	return fmt.Errorf("data folder %q can't be opened: %w", dir, err)
}

func isMalformed(err error) bool {
	for _, target := range []error{errEventValue, errRecord, errFeedEntry, errProducerState, errFormat, errDamagedLog} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// checkFolder refuses a folder without a store in it that is not empty: Pebble
// would make a new database over what is left of a damaged one.
func checkFolder(on vfs.FS, dir string) error {
	desc, err := pebble.Peek(dir, on)
	if err != nil {
		return folderError(dir, err)
	}
	if desc.Exists {
		return nil
	}
	names, err := on.List(dir)
	if err != nil {
		return fmt.Errorf("data folder %q can't be read: %w", dir, err)
	}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".log"):
			return fmt.Errorf("data folder %q is damaged and was left as it is: it holds %s, but no manifest that lists it; restore it from a backup or give another --data folder", dir, name)
		case !harmless(name):
			return fmt.Errorf("data folder %q holds no store but other files, such as %s; give an empty or a new --data folder", dir, name)
		}
	}
	return nil
}

// monitorFolder is where a server keeps its monitor's state, within the data
// folder: who deletes the database alone may go on with a new one.
const monitorFolder = "monitor"

// harmless reports whether a file may lie in a folder where a store is made:
// what a creation that was cut short leaves, what a fresh disk holds, and the
// monitor's folder.
func harmless(name string) bool {
	if name == monitorFolder {
		return true
	}
	for _, prefix := range []string{"LOCK", "MANIFEST-", "OPTIONS-", "marker.", "temporary.", ".", "lost+found"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
