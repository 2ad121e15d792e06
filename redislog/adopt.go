package redislog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"tidings"
)

func isUnavailable(err error) bool { return errors.Is(err, tidings.ErrUnavailable) }

// newTag is the random part of an incarnation.
func newTag() string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	var tag [4]byte
	for i := range tag {
		tag[i] = digits[rand.IntN(len(digits))]
	}
	return string(tag[:])
}

// state is what the store knows of a log besides its events.
type state struct {
	incarnation string
	last        tidings.ID // the last event
	end         tidings.ID // the terminal event; zero: open
	first       tidings.ID // the first event held
	trimmed     tidings.ID // the last event that retention removed
	lease       int64      // end of the lease in ms; 0: never had one
	removed     bool       // events were removed, by whomever
	complete    bool       // false: foreign events behind last were not looked at
}

func (st *state) closed() bool { return !st.end.IsZero() }

// look gives the state of a log, bringing the hash up to what foreign
// publishers have written, or ErrUnknownJob.
func (s *Store) look(ctx context.Context, jobID string) (state, error) {
	for range adoptTries {
		st, err := s.lookOnce(ctx, jobID)
		if err != nil || st.complete {
			return st, err
		}
		if err := s.adoptAfter(ctx, jobID, st); err != nil {
			return state{}, err
		}
	}
	// Publishers are faster than we: what is known is a true prefix.
	return s.lookOnce(ctx, jobID)
}

func (s *Store) lookOnce(ctx context.Context, jobID string) (state, error) {
	reply, err := s.onLog(ctx, lookScript, jobID, newTag()).AsStrSlice()
	if err != nil {
		if wrong := s.wrongType(ctx, err, jobID); wrong != nil {
			return state{}, wrong
		}
		return state{}, err
	}
	return parseState(reply)
}

func parseState(reply []string) (state, error) {
	if len(reply) == 0 {
		return state{}, tidings.ErrUnknownJob
	}
	if len(reply) != 8 {
		return state{}, fmt.Errorf("the look script gave %d answers; want 8", len(reply))
	}
	st := state{complete: reply[0] == "ok", incarnation: reply[1], removed: reply[7] == "1"}
	for _, field := range []struct {
		to   *tidings.ID
		text string
	}{{&st.last, reply[2]}, {&st.end, reply[3]}, {&st.first, reply[4]}, {&st.trimmed, reply[5]}} {
		if err := field.to.UnmarshalText([]byte(field.text)); err != nil {
			return state{}, err
		}
	}
	if reply[6] == "" {
		return st, nil
	}
	lease, err := strconv.ParseInt(reply[6], 10, 64)
	st.lease = lease
	return st, err
}

// adopt looks at foreign events that a script could not judge.
func (s *Store) adopt(ctx context.Context, jobID string) (state, error) {
	return retryRead(ctx, s, "reading what others published", func(ctx context.Context) (state, error) {
		return s.look(ctx, jobID)
	})
}

// adoptAfter reads entries behind the last known one and notes them in the
// hash, up to the one that ends the log if there is one.
func (s *Store) adoptAfter(ctx context.Context, jobID string, st state) error {
	from, step := st.last, int64(firstStep)
	for {
		events, err := s.entries(ctx, jobID, from.Next(), tidings.MaxID, step)
		if err != nil || len(events) == 0 {
			return err
		}
		n, ends := untilEnd(events)
		to := events[n-1].ID
		flag := "0"
		if ends {
			flag = "1"
		}
		args := []string{st.incarnation, from.String(), to.String(), strconv.Itoa(n), flag}
		noted, err := s.onLog(ctx, adoptScript, jobID, args...).AsInt64()
		if err != nil || noted == 0 || ends || int64(len(events)) < step {
			return err
		}
		from, step = to, nextStep(events)
	}
}

// untilEnd is how many of the events belong to the log, which a terminal one
// ends.
func untilEnd(events []tidings.Event) (n int, ends bool) {
	for i := range events {
		if events[i].Terminal() {
			return i + 1, true
		}
	}
	return len(events), false
}

// entries reads a range of the stream.
func (s *Store) entries(ctx context.Context, jobID string, from, to tidings.ID, count int64) ([]tidings.Event, error) {
	return parseEntries(jobID, s.do(ctx, s.client.B().Xrange().Key(s.keys.stream(jobID)).
		Start(from.String()).End(to.String()).Count(count).Build()))
}
