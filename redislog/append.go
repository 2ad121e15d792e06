package redislog

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"tidings"
	"tidings/wire"
)

// announceBytes bounds the events that an announcement carries. A larger batch
// is announced without them, and followers read it from the stream: Redis drops
// subscribers whose buffer grows over a few megabytes.
const announceBytes = 128 << 10

// adoptTries bounds how often an append makes way for foreign publishers.
const adoptTries = 16

// Append implements [tidings.Appender]. One script checks, writes and
// announces the batch. While Redis is away it fails within Options.Timeout.
func (s *Store) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	done, err := s.begin()
	if err != nil {
		return tidings.Receipt{}, err
	}
	defer done()
	r, err := s.append(ctx, jobID, &b)
	switch {
	case err == nil && r.Duplicate:
		s.stats.duplicates.Add(1)
	case err == nil:
		s.stats.appends.Add(1)
		s.stats.events.Add(int64(len(r.IDs)))
	case !isUnavailable(err):
		s.stats.refused.Add(1)
	}
	return r, err
}

func (s *Store) append(ctx context.Context, jobID string, b *tidings.Batch) (tidings.Receipt, error) {
	if err := b.Validate(jobID); err != nil {
		return tidings.Receipt{}, err
	}
	events, args, err := s.appendArgs(jobID, b)
	if err != nil {
		return tidings.Receipt{}, err
	}
	keys := []string{s.keys.stream(jobID), s.keys.meta(jobID)}
	for range adoptTries {
		reply, err := s.runAppend(ctx, keys, args)
		if err != nil {
			return tidings.Receipt{}, s.writeError(ctx, "appending", err, jobID)
		}
		if reply[0] != "adopt" {
			return s.receipt(jobID, b, events, reply)
		}
		if _, err := s.adopt(ctx, jobID); err != nil {
			return tidings.Receipt{}, err
		}
	}
	return tidings.Receipt{}, fmt.Errorf("%w: other publishers write to %s faster than their events can be looked at; nothing was written", tidings.ErrUnavailable, keys[0])
}

// appendArgs gives the events as they will be stored, and the script's
// arguments.
func (s *Store) appendArgs(jobID string, b *tidings.Batch) ([]tidings.Event, []string, error) {
	events := make([]tidings.Event, len(b.Events))
	args := make([]string, 0, 8+3*len(b.Events))
	p := tidings.Producer{}
	if b.Producer != nil {
		p = *b.Producer
	}
	ends := "0"
	if b.Events[len(b.Events)-1].Terminal() {
		ends = "1"
	}
	args = append(args, newTag(), s.keys.channel(jobID), s.publish, strconv.Itoa(announceBytes), ends,
		p.ID, strconv.FormatInt(p.Epoch, 10), strconv.FormatInt(p.Seq, 10))
	size := 0
	for i, e := range b.Events {
		e.JobID, e.ID = jobID, tidings.ID{}
		if e.Time.IsZero() {
			e.Time = time.Now()
		}
		e.Time = e.Time.UTC().Truncate(time.Microsecond)
		e.Data = compacted(e.Data)
		if size += len(e.Data); size > s.opts.MaxBatchBytes {
			return nil, nil, &tidings.TooLargeError{What: "batch", Limit: int64(s.opts.MaxBatchBytes)}
		}
		events[i] = e
	}
	// One piece of memory for all envelopes, unless one is longer than thought.
	buffer := make([]byte, 0, size+len(events)*(len(jobID)+tidings.MaxEventTypeBytes+96))
	for i := range events {
		begin := len(buffer)
		buffer = wire.AppendEnvelope(buffer, &events[i])
		envelope := rueidis.BinaryString(buffer[begin:])
		_, timestamp := peekEnvelope(jobID, envelope)
		args = append(args, events[i].Type, timestamp, envelope)
	}
	return events, args, nil
}

// runAppend runs the script and, if the durability asks for it, waits for
// replicas or the disk.
func (s *Store) runAppend(ctx context.Context, keys, args []string) ([]string, error) {
	if s.opts.Durability.none() {
		return s.runScript(ctx, appendScript, keys, args).AsStrSlice()
	}
	return s.runDurably(ctx, keys, args)
}

// writeError turns the error of a write into one for the caller. Whether it
// took effect is not known, so it is ErrUnavailable also when the caller gave up.
func (s *Store) writeError(ctx context.Context, doing string, err error, jobID string) error {
	switch wrong := s.wrongType(ctx, err, jobID); {
	case wrong != nil:
		return wrong
	case isUnavailable(err):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %s: no answer before the caller gave up: %w", tidings.ErrUnavailable, doing, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %s: %w%s", tidings.ErrUnavailable, doing, err, advice(err))
}

// receipt turns the script's answer into the caller's, and hands what was
// written on to the index.
func (s *Store) receipt(jobID string, b *tidings.Batch, events []tidings.Event, reply []string) (tidings.Receipt, error) {
	code, reply := reply[0], reply[1:]
	switch code {
	case "ok":
		return s.accepted(jobID, events, reply)
	case "duplicate":
		last, err := tidings.ParseID(reply[1])
		return tidings.Receipt{LastID: last, Incarnation: reply[0], Duplicate: true}, err
	case "closed":
		last, err := tidings.ParseID(reply[0])
		if err != nil {
			return tidings.Receipt{}, err
		}
		return tidings.Receipt{}, &tidings.ClosedError{JobID: jobID, LastID: last}
	case "fenced":
		current, err := strconv.ParseInt(reply[0], 10, 64)
		if err != nil {
			return tidings.Receipt{}, err
		}
		return tidings.Receipt{}, &tidings.FencedError{ProducerID: b.Producer.ID, Epoch: b.Producer.Epoch, Current: current}
	case "sequence":
		expected, err := strconv.ParseInt(reply[0], 10, 64)
		if err != nil {
			return tidings.Receipt{}, err
		}
		return tidings.Receipt{}, &tidings.SequenceError{ProducerID: b.Producer.ID, Expected: expected, Received: b.Producer.Seq}
	}
	return tidings.Receipt{}, fmt.Errorf("%w: the append script gave the unknown answer %q", tidings.ErrUnavailable, code)
}

// accepted reads incarnation, the last ID before the batch, and the batch's
// IDs, or the first of them if the others count on from it.
func (s *Store) accepted(jobID string, events []tidings.Event, reply []string) (tidings.Receipt, error) {
	r := tidings.Receipt{Incarnation: reply[0], IDs: make([]tidings.ID, len(events))}
	prev, err := tidings.ParseID(reply[1])
	for i := range events {
		switch {
		case err != nil:
		case i == 0 || len(reply) > 3:
			r.IDs[i], err = tidings.ParseID(reply[2+i])
		default:
			r.IDs[i] = r.IDs[i-1].Next()
		}
		events[i].ID = r.IDs[i]
	}
	if err != nil {
		return tidings.Receipt{}, fmt.Errorf("%w: the append script gave a malformed answer: %w", tidings.ErrUnavailable, err)
	}
	r.LastID = r.IDs[len(r.IDs)-1]
	s.indexer.appended(jobID, r.Incarnation, prev, events)
	return r, nil
}
