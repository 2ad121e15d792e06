package pebblelog

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleFormat is what a database is brought to when it is opened. WAL sync
// chunks, which came before it, let the recovery tell damage from a torn tail.
const pebbleFormat = pebble.FormatValueSeparation

func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		Lock:                        s.lock,
		FormatMajorVersion:          pebbleFormat,
		CacheSize:                   s.opts.CacheBytes,
		MemTableSize:                32 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		// A range that was deleted gives its space back soon, without more writes.
		FlushDelayDeleteRange: 10 * time.Second,
		Logger:                pebbleLogger{s},
		EventListener:         s.state.listener(),
	}
	if s.opts.fs != vfs.Default {
		o.FS = s.opts.fs // nil has Pebble watch over slow disks
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	return o
}

// pebbleLogger brings Pebble's log to ours, its chatter at debug level.
type pebbleLogger struct{ s *Store }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.s.log.Enabled(context.Background(), slog.LevelDebug) {
		l.s.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.s.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf is called when a commit failed. When it returns, Pebble goes on as if
// the commit had not.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.s.die(fmt.Errorf(format, args...))
}

// die is for failed writes. After a failed fsync nobody knows what is on the
// disk, and asking again may say that all is well: only a new start, which
// reads what is there, knows.
func (s *Store) die(err error) {
	s.state.fail(err)
	s.log.Error("the data folder can't be written; ending, since only a new start can tell what was stored", "error", err)
	s.opts.OnFatal(err)
}
