package pebblelog

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
)

// Backup writes a copy of the store as it is now into dir, which must not exist,
// while the store goes on working. On the same disk tables are linked, not
// copied, so that it takes little time and space. [Open] opens the copy.
func (s *Store) Backup(dir string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if _, err := s.opts.fs.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup folder %q exists already, or can't be looked at; give a new one", dir)
	}
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("backup into %q: %w", dir, err)
	}
	return nil
}
