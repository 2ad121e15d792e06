package pebblelog

import (
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tidings"
)

// Options of [Open]. Nil and the zero value are good for a server.
type Options struct {
	// Retention says what may be forgotten. Zero keeps everything.
	Retention tidings.Retention
	// RetentionInterval is the time between two passes of retention. Zero: one
	// minute. Negative: no passes but those of [Store.Retain].
	RetentionInterval time.Duration
	// FeedKeep is how many of the newest changes the feed keeps at least. Zero:
	// 1,000,000. Negative: all of them.
	FeedKeep int64
	// MaxEventBytes limits the data of one event. Zero: 8 MiB.
	MaxEventBytes int
	// MaxBatchBytes limits the data of one append. Zero: 64 MiB.
	MaxBatchBytes int
	// MinFreeBytes is the space on the disk below which appends are refused
	// with [tidings.ErrUnavailable], since a write that fails half-way ends the
	// process. Zero: 64 MiB. Negative: don't look.
	MinFreeBytes int64
	// CacheBytes is the memory for blocks of the history that were read. Zero:
	// 64 MiB.
	CacheBytes int64
	// Logger gets what an operator should know. Nil: [slog.Default].
	Logger *slog.Logger
	// OnFatal is called when a write to the disk failed: what is on the disk is
	// no longer known then, and only a new start tells. Nil: log it and exit
	// with status 1. If it returns, the store takes no more appends.
	OnFatal func(error)

	// For tests.
	fs      vfs.FS
	now     func() time.Time
	hotJobs int // how many jobs the committer keeps in memory
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	orDefault(&d.RetentionInterval, time.Minute)
	orDefault(&d.FeedKeep, 1_000_000)
	orDefault(&d.MaxEventBytes, 8<<20)
	orDefault(&d.MaxBatchBytes, 64<<20)
	orDefault(&d.MinFreeBytes, 64<<20)
	orDefault(&d.CacheBytes, 64<<20)
	orDefault(&d.hotJobs, 8192)
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	if d.OnFatal == nil {
		d.OnFatal = func(error) { os.Exit(1) }
	}
	if d.fs == nil {
		d.fs = vfs.Default
	}
	if d.now == nil {
		d.now = time.Now
	}
	return d
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
