package monitor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Folder is the [State] of a store that one process has to itself: a folder of
// files, one a document. A file is replaced whole, by a rename, so that a crash leaves the old
// or the new one; a checksum tells if the disk did not keep it. Safe for
// concurrent use within one process.
type Folder struct {
	dir string
	mu  sync.Mutex
}

// OpenFolder gives the state in a folder, which is made if need be.
func OpenFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the monitor's folder can't be made: %w", err)
	}
	return &Folder{dir: dir}, nil
}

// Hold gives the lease: nobody else is there.
func (f *Folder) Hold(context.Context, time.Duration) (int64, error) { return 1, nil }

// Release does nothing.
func (f *Folder) Release(context.Context) error { return nil }

// header is the first line of a file.
type header struct {
	Version int64  `json:"version"`
	SHA256  string `json:"sha256"` // of the rest
}

// Load implements [State]. A damaged document is put aside and counts as none.
func (f *Folder) Load(_ context.Context, name string) ([]byte, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read(name)
}

// Save implements [State].
func (f *Folder) Save(_ context.Context, name string, data []byte, _ int64) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, version, err := f.read(name)
	if err != nil {
		return false, err
	}
	return true, f.write(name, data, version+1)
}

// Swap implements [State].
func (f *Folder) Swap(_ context.Context, name string, data []byte, version int64) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, current, err := f.read(name)
	if err != nil || current != version {
		return false, err
	}
	return true, f.write(name, data, version+1)
}

func (f *Folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *Folder) read(name string) ([]byte, int64, error) {
	file, err := os.ReadFile(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	first, data, _ := bytes.Cut(file, []byte("\n"))
	var h header
	if err := json.Unmarshal(first, &h); err != nil || h.SHA256 != checksum(data) {
		return nil, 0, os.Rename(f.path(name), f.path(name)+".damaged")
	}
	return data, h.Version, nil
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (f *Folder) write(name string, data []byte, version int64) error {
	first, err := json.Marshal(header{version, checksum(data)})
	if err != nil {
		return err
	}
	temporary := f.path(name) + ".new"
	if err := writeSynced(temporary, append(append(first, '\n'), data...)); err != nil {
		return err
	}
	if err := os.Rename(temporary, f.path(name)); err != nil {
		return err
	}
	return syncDir(f.dir)
}

func writeSynced(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// syncDir makes the rename last. Where folders can't be synced, as on Windows, the
// file system orders it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync()
	return d.Close()
}
