package openai

import (
	"iter"

	"github.com/openai/openai-go/v3/packages/ssestream"
)

// Stream is a stream of the client that is told of while it is read. It is used
// as the client's own: Next, Current, Err, and Close if it is left before its
// end. Like that, it is for one goroutine.
type Stream[T any] struct {
	from *ssestream.Stream[T]
	call *call
	see  func(*call, *T)
	last func(*call) // what is to say when the stream ends without an error
}

// Next waits for the next event. It returns false at the end, and when the
// stream has failed: see [Stream.Err].
func (s *Stream[T]) Next() bool {
	if s.from.Next() {
		s.seen()
		return true
	}
	err := s.from.Err()
	if err == nil && s.last != nil {
		s.last(s.call)
	}
	s.call.end(err)
	return false
}

func (s *Stream[T]) seen() {
	defer guard("stream")
	event := s.from.Current()
	s.see(s.call, &event)
}

// Current is the event that Next came to.
func (s *Stream[T]) Current() T { return s.from.Current() }

// Err is what the stream failed of.
func (s *Stream[T]) Err() error { return s.from.Err() }

// Close leaves the stream. If the model has not said its last word, the call is
// told as aborted.
func (s *Stream[T]) Close() error {
	err := s.from.Close()
	if s.call.finished {
		s.call.end(nil)
	} else {
		s.call.end(errClosed)
	}
	return err
}

// All gives the events that are left, then the error if there is one, and
// closes the stream.
func (s *Stream[T]) All() iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		defer s.Close()
		for s.Next() {
			if !yield(s.Current(), nil) {
				return
			}
		}
		if err := s.Err(); err != nil {
			var none T
			yield(none, err)
		}
	}
}
