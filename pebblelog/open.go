package pebblelog

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

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
	s.state.init(s.log, dir, s.die)
	if err := s.openFolder(dir); err != nil {
		return nil, err
	}
	c, err := s.prepare()
	if err != nil {
		return nil, errors.Join(folderError(dir, err), s.db.Close(), s.lock.Close())
	}
	s.lookAtDisk()
	s.work.Go(c.run)
	s.work.Go(s.runUpkeep)
	return s, nil
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
	f, err := parseFeedEntry(tailID(it.Key()), value)
	return f.last, f.count, err
}

func prefixBounds(prefix byte) *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}}
}
