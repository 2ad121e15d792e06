package redislog

import (
	"context"
	"errors"

	"github.com/redis/rueidis"

	"tidings"
)

// Delete implements [tidings.Store].
func (s *Store) Delete(ctx context.Context, jobID string) error {
	done, err := s.begin()
	if err != nil {
		return err
	}
	defer done()
	if err := tidings.ValidateJobID(jobID); err != nil {
		return err
	}
	return s.delete(ctx, jobID, "")
}

// delete removes the log if it has the incarnation, or any if that is empty.
func (s *Store) delete(ctx context.Context, jobID, incarnation string) error {
	callCtx, cancel := s.call(ctx)
	defer cancel()
	// The feed is to show the events before their job's end.
	s.indexer.parts[partitionOf(jobID)].flush(callCtx)
	had, err := s.onLog(ctx, deleteScript, jobID, s.keys.channel(jobID), s.publish, incarnation).ToString()
	if rueidis.IsRedisNil(err) {
		return tidings.ErrUnknownJob
	}
	if err != nil {
		return s.writeError(ctx, "deleting", err, jobID)
	}
	s.stats.deleted.Add(1)
	s.watches.check(jobID)
	if err := s.unindex(ctx, jobID, had); err != nil && !errors.Is(err, context.Canceled) {
		s.log.Warn("redis: a deleted job is listed until the next reconciling", "job", jobID, "error", err)
	}
	return nil
}
