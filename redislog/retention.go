package redislog

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"tidings"
)

// Retain runs one pass of retention now, whichever node is the caretaker.
func (s *Store) Retain(ctx context.Context) error {
	if s.closed() {
		return tidings.ErrStoreClosed
	}
	s.indexer.flush(ctx)
	return s.retain(ctx)
}

func (s *Store) retain(ctx context.Context) error {
	r := s.opts.Retention
	if r.AfterEnd > 0 {
		if err := s.forgetEnded(ctx, time.Now().Add(-r.AfterEnd)); err != nil {
			return err
		}
	}
	if r.EventsPerJob <= 0 && r.BytesPerJob <= 0 {
		return nil
	}
	for p := range partitions {
		err := s.eachHead(ctx, p, func(_ context.Context, heads map[string]head) error {
			return s.trimJobs(ctx, heads)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetBatch is how many ended jobs are looked at together.
const forgetBatch = 100

// forgetEnded deletes the jobs that ended before then.
func (s *Store) forgetEnded(ctx context.Context, then time.Time) error {
	for p := range partitions {
		for {
			ids, err := s.endedBefore(ctx, p, then)
			if err != nil {
				return err
			}
			for _, jobID := range ids {
				if err := s.forget(ctx, p, jobID, then); err != nil {
					return err
				}
			}
			if len(ids) < forgetBatch {
				break
			}
		}
	}
	return nil
}

func (s *Store) endedBefore(ctx context.Context, p int, then time.Time) ([]string, error) {
	return s.do(ctx, s.client.B().Zrangebyscore().Key(s.keys.ended(p)).Min("-inf").
		Max("("+formatInt(then.UnixMilli())).Limit(0, forgetBatch).Build()).AsStrSlice()
}

// forget deletes a job if it is still over since before then: one that an old
// publisher's error ended may have gone on.
func (s *Store) forget(ctx context.Context, p int, jobID string, then time.Time) error {
	job, err := s.Job(ctx, jobID)
	if _, foreign := errors.AsType[*tidings.InvalidError](err); foreign || errors.Is(err, tidings.ErrUnknownJob) {
		return s.unindex(ctx, jobID, "") // the log is gone; what others put in its place stays
	}
	if err != nil {
		return err
	}
	if job.EndedAt == nil || !job.EndedAt.Before(then) {
		s.indexer.rewrite(jobID) // takes it off the list of the ended, or moves it
		s.indexer.parts[p].flush(ctx)
		return nil
	}
	return ignoreUnknown(s.delete(ctx, jobID, job.Incarnation))
}

// trimJobs trims those of the jobs that are over the limits.
func (s *Store) trimJobs(ctx context.Context, heads map[string]head) error {
	if len(heads) == 0 {
		return nil
	}
	jobs := make([]string, 0, len(heads))
	commands := make([]rueidis.Completed, 0, len(heads))
	for jobID := range heads {
		jobs = append(jobs, jobID)
		commands = append(commands, s.client.B().Xlen().Key(s.keys.stream(jobID)).Build())
	}
	replies := s.doMulti(ctx, commands...)
	for i, jobID := range jobs {
		length, err := replies[i].AsInt64()
		if err != nil {
			return err
		}
		if err := s.trimJob(ctx, jobID, length); ignoreUnknown(err) != nil {
			return err
		}
	}
	return nil
}

func (s *Store) trimJob(ctx context.Context, jobID string, length int64) error {
	r := s.opts.Retention
	keep, first := "", ""
	if r.EventsPerJob > 0 && length > r.EventsPerJob {
		keep = formatInt(r.EventsPerJob)
		if err := s.trim(ctx, jobID, keep, first); err != nil {
			return err
		}
	}
	if r.BytesPerJob <= 0 || length < 2 {
		return nil
	}
	cut, err := s.cutByBytes(ctx, jobID, r.BytesPerJob)
	if err != nil || cut.IsZero() {
		return err
	}
	return s.trim(ctx, jobID, "", cut.String())
}

// cutByBytes is the oldest event to keep so that about so many bytes of data
// are kept, or zero if all are.
func (s *Store) cutByBytes(ctx context.Context, jobID string, limit int64) (tidings.ID, error) {
	// Cheap and never less than the data: the memory of the whole stream.
	memory, err := s.do(ctx, s.client.B().MemoryUsage().Key(s.keys.stream(jobID)).Build()).AsInt64()
	if err == nil && memory <= limit || rueidis.IsRedisNil(err) {
		return tidings.ID{}, nil
	}
	if err != nil {
		return tidings.ID{}, err
	}
	r := span{to: tidings.MaxID, backward: true}
	var kept int64
	oldest, count := tidings.ID{}, firstStep
	for {
		events, err := s.step(ctx, jobID, &r, count)
		if err != nil {
			return tidings.ID{}, err
		}
		for i := range events {
			if kept += int64(len(events[i].Data)); kept > limit && !oldest.IsZero() {
				return oldest, nil
			}
			oldest = events[i].ID
		}
		if len(events) < count {
			return tidings.ID{}, nil
		}
		r.advance(oldest)
		count = int(nextStep(events))
	}
}

// trimStep bounds what one script removes, as Redis serves nobody meanwhile.
const trimStep = 1000

// trim removes events step by step. The fold over them is kept beside the log,
// so that the job's summary stays what it was.
func (s *Store) trim(ctx context.Context, jobID, keep, first string) error {
	rec, err := retryRead(ctx, s, "folding before trimming", func(ctx context.Context) (*record, error) {
		old, err := s.indexed(ctx, jobID)
		if err != nil {
			return nil, err
		}
		return s.catchUp(ctx, jobID, old)
	})
	if err != nil {
		return err
	}
	args := []string{rec.Job.Incarnation, keep, first, strconv.Itoa(trimStep), rec.Job.LastID.String(), rec.encode()}
	for {
		reply, err := s.onLog(ctx, trimScript, jobID, args...).AsIntSlice()
		if err != nil {
			return s.writeError(ctx, "trimming", err, jobID)
		}
		if reply[0] > 0 {
			s.stats.trimmed.Add(reply[0])
			s.indexer.rewrite(jobID) // the first event held is another
		}
		if reply[1] == 0 {
			return nil
		}
	}
}

// compact rewrites the streams of jobs that have ended, if the options say so.
func (s *Store) compact(ended []*record) {
	if !s.opts.Compact {
		return
	}
	for _, rec := range ended {
		err := s.onLog(s.ctx, compactScript, rec.Job.ID, rec.Job.Incarnation).Error()
		if err != nil {
			s.log.Warn("redis: the stream of an ended job could not be compacted; it stays as it is", "job", rec.Job.ID, "error", err)
		}
	}
}
