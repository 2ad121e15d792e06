package monitor

import (
	"context"
	"time"
)

// State is where the nodes of a server keep what must outlive them: a lease,
// and documents by name. Two are there: [Folder] for a store that one process
// has to itself, and the one of redislog. Safe for concurrent use.
type State interface {
	// Hold takes the lease, or renews it, for ttl. If another holds it, the epoch
	// is 0. Each time it changes hands the epoch is a higher one.
	Hold(ctx context.Context, ttl time.Duration) (epoch int64, err error)
	// Release gives the lease back at once.
	Release(ctx context.Context) error
	// Load gives a document and its version; nil and 0 if there is none.
	Load(ctx context.Context, name string) (data []byte, version int64, err error)
	// Save replaces a document for the holder of the lease alone: ok is false,
	// and nothing was written, if the lease was taken by another since the epoch.
	Save(ctx context.Context, name string, data []byte, epoch int64) (ok bool, err error)
	// Swap replaces a document that any node may write: ok is false, and nothing
	// was written, if its version is another. Load it again then.
	Swap(ctx context.Context, name string, data []byte, version int64) (ok bool, err error)
}

// Observer is told of all that is folded, on the node that holds the lease and
// nowhere else: alerts are one. Its state is saved together with the feed's
// cursor, so that it sees every change once, in effect: after a crash or on
// another node it goes on from the state and the cursor of the last checkpoint,
// and sees again what came after it. So whatever it decides must follow from its
// state, the changes and the times given, and must leave the process only once
// it is committed.
//
// The monitor calls it from one goroutine at a time.
type Observer interface {
	// Lead says that this node holds the lease now. state is what Snapshot gave
	// for the last checkpoint, by whichever node; nil: none was made. The context
	// ends when the lease is lost or the monitor stops; nothing may be sent
	// after that. It may be called again, for a new lease. An error keeps this
	// node from counting until another try succeeds, so it is for what may pass;
	// a state that can't be read is better begun anew.
	Lead(ctx context.Context, state []byte) error
	// Observe is told of a change after the fold took it in. It must be quick and
	// must not call the Monitor, whose lock is held; f may be read.
	Observe(c *Folded, f *Fold)
	// Tick comes about every second; the Monitor may be asked. It returns true to
	// have a checkpoint made at once rather than when the next one is due.
	Tick(now time.Time, m *Monitor) (save bool)
	// Snapshot gives the state as JSON. committed is called when it is saved
	// durably, and not at all if that fails.
	Snapshot() (state []byte, committed func(), err error)
}
