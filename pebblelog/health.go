package pebblelog

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tidings"
)

const (
	diskInterval = 5 * time.Second
	// recent is for how long after it happened a trouble is warned of.
	recent = time.Minute
	// retryPause is between the tries to write tables. Pebble itself tries again
	// at once, which on a full disk takes a processor and fills the log.
	retryPause = 250 * time.Millisecond
)

// condition is what is wrong with the store, if anything is.
type condition struct {
	log *slog.Logger
	dir string
	die func(error) // ends the process

	opening atomic.Bool // Pebble has not opened the folder yet

	mu       sync.Mutex
	died     error    // a write failed
	disk     error    // too little space
	damaged  error    // something that was read is not what was written
	stalled  bool     // Pebble makes writes wait
	slow     incident // a disk operation took long
	trouble  incident // a flush or compaction failed
	tooSmall incident // Pebble told that space runs out

	troubleLogged time.Time
}

// incident is the last time of something.
type incident struct {
	at   time.Time
	text string
}

func (c *condition) init(log *slog.Logger, dir string, die func(error)) {
	c.log, c.dir, c.die = log, dir, die
}

func (c *condition) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.died == nil {
		c.died = err
	}
}

// fatal gives the failed write after which nothing may be written.
func (c *condition) fatal() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.died
}

// full gives why appends are refused for want of space.
func (c *condition) full() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disk
}

func (c *condition) note(e *incident, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*e = incident{time.Now(), text}
}

func (c *condition) stall(on bool, reason string) {
	c.mu.Lock()
	c.stalled = on
	c.mu.Unlock()
	if on {
		c.log.Warn("appends wait for the disk to catch up", "reason", reason)
	}
}

func (c *condition) damage(err error) {
	c.mu.Lock()
	first := c.damaged == nil
	c.damaged = err
	c.mu.Unlock()
	if first {
		c.log.Error("the data folder is damaged; restore it from a backup", "folder", c.dir, "error", err)
	}
}

// listener brings Pebble's events here.
func (c *condition) listener() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: c.backgroundError,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			c.damage(fmt.Errorf("%s: %w", info.Path, info.Details))
		},
		DiskSlow: func(info vfs.DiskSlowInfo) { c.note(&c.slow, info.String()) },
		LowDiskSpace: func(info pebble.LowDiskSpaceInfo) {
			c.note(&c.tooSmall, info.String())
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) { c.stall(true, info.Reason) },
		WriteStallEnd:   func() { c.stall(false, "") },
	}
}

// backgroundError is told that tables could not be written; Pebble tries again
// when it returns. A folder that is being opened can't be used before what its
// log holds is in tables, and Pebble would try that for ever.
func (c *condition) backgroundError(err error) {
	if c.opening.Load() {
		c.die(fmt.Errorf("data folder %q can't be opened; make space if its disk is full: %w", c.dir, err))
	}
	c.mu.Lock()
	c.trouble = incident{time.Now(), err.Error()}
	news := time.Since(c.troubleLogged) >= recent
	if news {
		c.troubleLogged = time.Now()
	}
	c.mu.Unlock()
	if news {
		c.log.Error("writing tables failed; it is tried again", "error", err.Error())
	}
	time.Sleep(retryPause)
}

// damage remembers an error that says that what was read is not what was
// written, and names what it was.
func (s *Store) damage(what string, err error) error {
	if pebble.IsCorruptionError(err) || isMalformed(err) {
		err = fmt.Errorf("%s is damaged on the disk: %w", what, err)
		s.state.damage(err)
	}
	return err
}

// lookAtDisk refuses appends while there is too little space.
func (s *Store) lookAtDisk() {
	if s.opts.MinFreeBytes < 0 {
		return
	}
	usage, err := s.opts.fs.GetDiskUsage(s.state.dir)
	if err != nil {
		return // not every file system can tell
	}
	var full error
	if usage.AvailBytes < uint64(s.opts.MinFreeBytes) {
		full = fmt.Errorf("the disk of data folder %q has %d MiB left, and appends are refused below %d MiB; make space", s.state.dir, usage.AvailBytes>>20, s.opts.MinFreeBytes>>20)
	}
	s.state.setFull(full)
}

func (c *condition) setFull(full error) {
	c.mu.Lock()
	was := c.disk
	c.disk = full
	c.mu.Unlock()
	switch {
	case full != nil && was == nil:
		c.log.Error(full.Error())
	case full == nil && was != nil:
		c.log.Info("there is space on the disk again; appends are taken")
	}
}

// Health implements [tidings.Store].
func (s *Store) Health(context.Context) tidings.Health {
	h := tidings.Health{Store: "pebble", Details: map[string]string{"folder": s.state.dir}}
	if err := s.enter(); err != nil {
		h.Error = err.Error()
		return h
	}
	defer s.leave()
	s.state.report(&h)
	h.Ready = h.Error == ""
	m := s.db.Metrics()
	h.Details["disk_bytes"] = strconv.FormatUint(m.DiskSpaceUsage(), 10)
	return h
}

func (c *condition) report(h *tidings.Health) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.died != nil:
		h.Error = "a write failed: " + c.died.Error() + "; start again"
	case c.disk != nil:
		h.Error = c.disk.Error()
	}
	warn := func(on bool, text string) {
		if on {
			h.Warnings = append(h.Warnings, text)
		}
	}
	fresh := func(e incident) bool { return !e.at.IsZero() && time.Since(e.at) < recent }
	if c.damaged != nil {
		warn(true, c.damaged.Error()+"; restore the data folder from a backup")
	}
	warn(c.stalled, "appends wait for the disk to catch up; it is too slow for what is written")
	warn(fresh(c.slow), "the disk is slow: "+c.slow.text)
	warn(fresh(c.trouble), "writing tables failed and is tried again: "+c.trouble.text)
	warn(fresh(c.tooSmall), "the disk is filling up: "+c.tooSmall.text)
}
