package httpapi

import "time"

// Limits bound what one request, or one node, may take. Zero fields get the
// default named beside them.
type Limits struct {
	BodyBytes   int64 // a request body, unless it is an NDJSON stream; 16 MiB
	EventBytes  int   // the data of one event; 1 MiB
	BatchEvents int   // events of one batch; 10,000

	// FeedViewers are connections to GET /v1/events of this node, each of which
	// reads the store's feed itself; 1,000. The limits of a job's viewers are
	// the hub's.
	FeedViewers int

	// BodyTimeout is how long a body may make no progress; 30 s.
	BodyTimeout time.Duration
	// StreamIdle is how long an NDJSON stream may be silent; 1 h.
	StreamIdle time.Duration
	// WriteTimeout is how long a reader may take nothing before its connection
	// is cut, at least half of it; 2 min.
	WriteTimeout time.Duration
}

// Fixed limits, the same everywhere so that clients can rely on them.
const (
	defaultPageEvents = 1000
	maxPageEvents     = 10_000
	maxPageBytes      = 8 << 20 // a JSON page is built in memory
	maxJobsPage       = 1000
	maxJobsScan       = 10_000 // jobs looked at for one filtered page of a listing
	maxSmallBody      = 1 << 20
	maxLabels         = 64
	maxNameBytes      = 255
)

func (l Limits) withDefaults() Limits {
	orDefault(&l.BodyBytes, 16<<20)
	orDefault(&l.EventBytes, 1<<20)
	orDefault(&l.BatchEvents, 10_000)
	orDefault(&l.FeedViewers, 1000)
	orDefault(&l.BodyTimeout, 30*time.Second)
	orDefault(&l.StreamIdle, time.Hour)
	orDefault(&l.WriteTimeout, 2*time.Minute)
	return l
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
