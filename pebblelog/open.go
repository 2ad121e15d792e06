package pebblelog

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tidings"
)

// Open opens the store in the folder dir, which is made if it does not exist,
// and starts its goroutines; [Store.Close] ends them.
//
// It refuses a folder that another process has open, one that holds something
// else, one of a newer format, and one that is damaged. Whatever is wrong, it
// deletes nothing.
func Open(dir string, opts *Options) (*Store, error) {
	o := opts.withDefaults()
	s := &Store{
		opts:     o,
		log:      o.Logger,
		openedAt: o.now(),
		requests: make(chan *request, queueLength),
		closing:  make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	s.cache.init(o.hotJobs)
	s.feeds.init()
	s.state.init(s.log, dir)
	if err := s.openFolder(dir); err != nil {
		return nil, err
	}
	c, err := s.prepare()
	if err != nil {
		return nil, errors.Join(folderError(dir, err), s.db.Close(), s.lock.Close())
	}
	s.work.Go(c.run)
	s.work.Go(s.runUpkeep)
	return s, nil
}

// openFolder locks the folder and opens the database in it.
func (s *Store) openFolder(dir string) (err error) {
	fs := s.opts.fs
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("data folder %q can't be made: %w", dir, err)
	}
	if s.lock, err = pebble.LockDirectory(dir, fs); err != nil {
		return lockError(dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Close())
		}
	}()
	if err := checkFolder(fs, dir); err != nil {
		return err
	}
	s.db, err = pebble.Open(dir, s.pebbleOptions())
	if err != nil {
		return folderError(dir, err)
	}
	return nil
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
	for _, target := range []error{errEventValue, errRecord, errFeedEntry, errProducerState, errFormat} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// checkFolder refuses a folder without a store in it that is not empty: Pebble
// would make a new database over what is left of a damaged one.
func checkFolder(fs vfs.FS, dir string) error {
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		return folderError(dir, err)
	}
	if desc.Exists {
		return nil
	}
	names, err := fs.List(dir)
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

// harmless reports whether a file may lie in a folder where a store is made:
// what a creation that was cut short leaves, and what a fresh disk holds.
func harmless(name string) bool {
	for _, prefix := range []string{"LOCK", "MANIFEST-", "OPTIONS-", "marker.", "temporary.", ".", "lost+found"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// prepare reads from the database what the committer goes on from.
func (s *Store) prepare() (*committer, error) {
	id, err := checkFormat(s.db)
	if err != nil {
		return nil, err
	}
	s.id = id
	c := &committer{s: s}
	if c.nextNumber, err = getNumber(s.db, keyNextNumber); err != nil {
		return nil, err
	}
	pos := &position{}
	if pos.feedTrimmed, err = getID(s.db, keyFeedTrimmed); err != nil {
		return nil, err
	}
	if pos.last, c.feedCount, err = s.feedEnd(); err != nil {
		return nil, err
	}
	c.last, c.feedTrimmed = pos.last, pos.feedTrimmed
	s.position.Store(pos)
	s.stats.feedCount.Store(int64(c.feedCount))
	return c, s.findOverLimit()
}

// feedEnd gives the last ID ever given and the number of its feed entry.
func (s *Store) feedEnd() (last tidings.ID, count uint64, err error) {
	it, err := s.db.NewIter(prefixBounds(prefixFeed))
	if err != nil {
		return last, 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	if !it.Last() {
		return last, 0, it.Error()
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return last, 0, err
	}
	f, err := parseFeedEntry(value)
	return tailID(it.Key()), f.count, err
}

func prefixBounds(prefix byte) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}}
}
