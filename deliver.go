package tidings

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// deliver appends the batch. Nil means that it is settled: written, or refused
// in a way that leaves the next ones their chance.
func (s *sender) deliver(ctx context.Context, b *batch) error {
	var pause backoff
	for try := 0; ; try++ {
		duplicate, err := s.try(ctx, b.events, s.of(b.number))
		switch s.judge(err) {
		case written:
			if duplicate && s.fresh && try == 0 {
				s.follow(b.number)
				continue
			}
			s.count(int64(len(b.events)), try)
			return nil
		case unfit:
			return s.deliverSingly(ctx, b)
		case outOfSequence:
			s.renumber(b.number, err)
		case final:
			return s.refuse(err)
		default:
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			s.warn(try, err)
		}
		s.retried()
		if err := pause.wait(ctx); err != nil {
			return err
		}
	}
}

// refuse gives up what is left, which nobody will ever take. A store that was
// closed under the handler is another matter: it may be opened again.
func (s *sender) refuse(err error) error {
	if errors.Is(err, ErrStoreClosed) {
		s.log.Error("the store was closed before the handler", "job", s.jobID)
		return err
	}
	s.stop(err)
	s.forming.Lock()
	defer s.forming.Unlock()
	s.refused = true
	for _, b := range []*batch{s.current, s.parked} {
		if b != nil && !b.spooled {
			s.stray(int64(len(b.events)), b.bytes)
		}
	}
	s.current, s.parked = nil, nil
	if s.spool != nil {
		s.stray(s.spooled, 0)
		s.dropSpool(s.spool.putAside(refusedSuffix))
	}
	return err
}

func (s *sender) stray(events, bytes int64) {
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	s.q.stats.Strays += events
	s.q.free(bytes)
	s.q.settle(events)
}

type outcome int

const (
	written       outcome = iota
	unknown               // try the same again
	unfit                 // an event of the batch, or its size, is the trouble
	outOfSequence         // the store forgot the producer
	final                 // nothing of this producer will be taken
)

func (s *sender) judge(err error) outcome {
	var (
		invalid  *InvalidError
		tooLarge *TooLargeError
		closed   *ClosedError
		fenced   *FencedError
		sequence *SequenceError
	)
	switch {
	case err == nil:
		return written
	case errors.As(err, &invalid), errors.As(err, &tooLarge):
		return unfit
	case errors.As(err, &sequence):
		return outOfSequence
	case errors.As(err, &closed), errors.As(err, &fenced), errors.Is(err, ErrStoreClosed):
		return final
	}
	return unknown
}

// try appends once. A panic of the appender is an error like any other.
func (s *sender) try(ctx context.Context, events []Event, p Producer) (duplicate bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the appender panicked: %v", v)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	r, err := s.to.Append(ctx, s.jobID, Batch{Events: events, Producer: &p})
	return r.Duplicate, err
}

// follow makes the batch ask for the store's count of this producer. It was
// taken for one of an earlier start with the same epoch, as a task has that its
// queue delivers again without counting: going on behind that start's batches
// loses nothing.
func (s *sender) follow(number int64) {
	p := s.of(number)
	s.log.Warn("the producer's epoch was used by an earlier start of the job; going on behind it", "job", s.jobID, "producer", p.ID, "epoch", p.Epoch)
	s.set(number, p.Epoch, MaxProducerNumber)
}

// renumber takes up the count of a store that lost its memory of this producer:
// in a higher epoch, which also fences off requests that may still be under
// way. An epoch that was given belongs to its giver, so there the store's
// count is taken up in the same epoch.
func (s *sender) renumber(number int64, err error) {
	var sequence *SequenceError
	errors.As(err, &sequence)
	p := s.of(number)
	if s.ownEpoch {
		s.set(number, max(nextEpoch(), p.Epoch+1), 0)
	} else {
		s.set(number, p.Epoch, sequence.Expected)
	}
	now := s.of(number)
	s.log.Warn("the store has lost track of this producer; some of the job's last events may be lost",
		"job", s.jobID, "error", err, "epoch", now.Epoch, "seq", now.Seq)
	s.noteNumber(number, now)
}

// noteNumber tells the spool file what its batches are numbered by, from this
// one on.
func (s *sender) noteNumber(number int64, p Producer) {
	s.forming.Lock()
	defer s.forming.Unlock()
	if s.spool == nil {
		return
	}
	if err := s.spool.renumber(number, p); err != nil {
		s.log.Error("can't write to the spool file; what is in it may be refused after a restart", "job", s.jobID, "error", err)
	}
}

// deliverSingly appends the events of a batch that was refused as a whole one
// by one, and drops those that are refused again.
func (s *sender) deliverSingly(ctx context.Context, b *batch) error {
	seq := s.of(b.number).Seq
	for i := range b.events {
		one := b.events[i : i+1]
		taken, err := s.deliverOne(ctx, b, one, seq)
		if err != nil {
			return err
		}
		if taken {
			seq++
		}
	}
	s.set(b.number+1, s.of(b.number).Epoch, seq)
	s.noteNumber(b.number+1, s.of(b.number+1))
	return nil
}

func (s *sender) deliverOne(ctx context.Context, b *batch, one []Event, seq int64) (taken bool, err error) {
	var pause backoff
	for try := 0; ; try++ {
		p := s.of(b.number)
		p.Seq = seq
		_, err := s.try(ctx, one, p)
		switch s.judge(err) {
		case written:
			s.count(1, try)
			return true, nil
		case final:
			return false, s.refuse(err)
		case unfit, outOfSequence:
			s.log.Error("the store refuses an event; it is dropped", "job", s.jobID, "event_type", one[0].Type, "bytes", len(one[0].Data), "error", err)
			s.q.mu.Lock()
			s.q.stats.Dropped++
			s.q.mu.Unlock()
			return false, nil
		default:
			s.warn(try, err)
		}
		s.retried()
		if err := pause.wait(ctx); err != nil {
			return false, err
		}
	}
}

func (s *sender) count(events int64, try int) {
	if try > 0 {
		s.log.Info("the store is back", "job", s.jobID, "tries", try+1)
	}
	s.q.mu.Lock()
	s.q.stats.Sent += events
	s.q.mu.Unlock()
	s.fresh = false
	if s.first != nil {
		s.first()
		s.first = nil
	}
}

func (s *sender) retried() {
	s.q.mu.Lock()
	s.q.stats.Retried++
	s.q.mu.Unlock()
}

// warn logs the first failure of a batch, and from then on ever more seldom.
func (s *sender) warn(try int, err error) {
	if try&(try+1) == 0 { // 0, 1, 3, 7 …
		s.log.Warn("can't append to the store; trying again", "job", s.jobID, "try", try+1, "error", err)
	}
}

// tryTimeout bounds one try of an append, so that a connection that hangs does
// not hold the queue for ever.
const tryTimeout = 30 * time.Second
