package tidings

import (
	"encoding/json"
	"log/slog"
	"time"
)

// HandlerOptions are the settings of a [Handler]. The zero value works.
type HandlerOptions struct {
	// Name, Labels and Metadata (a JSON object) describe the job in listings.
	Name     string
	Labels   map[string]string
	Metadata json.RawMessage

	// ProducerID and Epoch are those of [PublisherOptions]: a higher epoch, as
	// the attempt number of a task queue, takes the job over and fences the
	// earlier handler off. Zero epoch: the Unix time in milliseconds.
	ProducerID string
	Epoch      int64

	// HeartbeatEvery is the pause between signs of life. Zero: 10 s; negative:
	// none are sent.
	HeartbeatEvery time.Duration
	// LeaseTTL is how long one sign of life holds. Zero: [DefaultLeaseTTL].
	LeaseTTL time.Duration

	// CoalesceDeltas is how long the deltas of a stream are gathered into one
	// event; the first after a pause goes at once. Zero: 25 ms; negative: only
	// those that wait in the queue anyway are joined.
	CoalesceDeltas time.Duration

	// QueueBytes bounds the memory of events that are not acknowledged yet.
	// Zero: 8 MiB.
	QueueBytes int64
	// SpoolDir is a folder that takes what the queue can't hold while the store
	// is away. Empty: none, and what the queue can't hold is dropped.
	SpoolDir string
	// SpoolBytes bounds the spool file of this job. Zero: 1 GiB.
	SpoolBytes int64
	// BlockFor is how long a callback may block the agent when the queue is
	// full. Zero: not at all.
	BlockFor time.Duration

	// MaxFieldBytes is the size from which an input, output, content or other
	// value of the agent is truncated. Zero: 64 KiB; negative: never.
	MaxFieldBytes int
	// Redact, if set, sees every value of the agent before it is truncated and
	// leaves the handler, and gives what to publish in its place. It is called
	// with the event type and the field ("input", "output", "content", "delta",
	// "error", "value" …) from several goroutines. If it panics, the value is
	// replaced by a note.
	Redact func(eventType, field string, value json.RawMessage) json.RawMessage

	// Automatic lets the handler end the job by itself when its root run has
	// ended; for adapters of frameworks. Otherwise only End ends it.
	Automatic bool
	// Grace is how long an automatic end waits for another root run.
	Grace time.Duration
	// StreamWait is how long an automatic end waits for runs and streams that
	// are open when the root has ended. Zero: 10 s; negative: not at all.
	StreamWait time.Duration

	// Logger takes warnings: drops, retries, refusals. Nil: slog.Default().
	Logger *slog.Logger
}

func (o *HandlerOptions) fill() {
	setDefault(&o.HeartbeatEvery, 10*time.Second)
	setDefault(&o.LeaseTTL, DefaultLeaseTTL)
	setDefault(&o.CoalesceDeltas, 25*time.Millisecond)
	setDefault(&o.QueueBytes, 8<<20)
	setDefault(&o.SpoolBytes, 1<<30)
	setDefault(&o.MaxFieldBytes, 64<<10)
	setDefault(&o.StreamWait, 10*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

func setDefault[T comparable](v *T, standard T) {
	if *v == *new(T) {
		*v = standard
	}
}
