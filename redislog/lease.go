package redislog

import (
	"context"
	"fmt"
	"strconv"

	"tidings"
)

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// Heartbeat implements [tidings.Appender]. The lease runs by Redis' clock, so
// nodes with different clocks agree on it.
func (s *Store) Heartbeat(ctx context.Context, jobID string, l tidings.Lease) error {
	done, err := s.begin()
	if err != nil {
		return err
	}
	defer done()
	if err := tidings.ValidateJobID(jobID); err != nil {
		return err
	}
	setDefault(&l.TTL, tidings.DefaultLeaseTTL)
	if l.TTL < 0 {
		return &tidings.InvalidError{Field: "ttl", Reason: "must be positive"}
	}
	p := tidings.Producer{}
	if l.Producer != nil {
		p = *l.Producer
	}
	args := []string{newTag(), formatInt(max(1, l.TTL.Milliseconds())), p.ID, formatInt(p.Epoch)}
	for range adoptTries {
		reply, err := s.onLog(ctx, heartbeatScript, jobID, args...).AsStrSlice()
		if err != nil {
			return s.writeError(ctx, "renewing a lease", err, jobID)
		}
		switch reply[0] {
		case "ok":
			s.noteLease(jobID, reply[1])
			return nil
		case "unknown":
			return tidings.ErrUnknownJob
		case "closed":
			last, err := tidings.ParseID(reply[1])
			if err != nil {
				return err
			}
			return &tidings.ClosedError{JobID: jobID, LastID: last}
		case "fenced":
			current, err := strconv.ParseInt(reply[1], 10, 64)
			if err != nil {
				return err
			}
			return &tidings.FencedError{ProducerID: p.ID, Epoch: p.Epoch, Current: current}
		}
		if _, err := s.adopt(ctx, jobID); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: other publishers write to the job faster than their events can be looked at", tidings.ErrUnavailable)
}

// noteLease brings the lease to where listings look. If that fails, the next
// heartbeat makes up for it; the job itself has it already.
func (s *Store) noteLease(jobID, until string) {
	err := s.do(s.ctx, s.client.B().Hset().Key(s.keys.leases(partitionOf(jobID))).
		FieldValue().FieldValue(jobID, until).Build()).Error()
	if err != nil {
		s.log.Warn("redis: a lease could not be noted for listings", "job", jobID, "error", err)
	}
}
