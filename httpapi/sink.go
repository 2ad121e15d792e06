package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"time"
)

// connSink writes to a taken-over connection.
type connSink struct {
	conn     net.Conn
	drain    context.Context // done when the node goes down
	timeout  time.Duration
	deadline time.Time
	calm     func() // takes back what hurries the connection at a shutdown
	release  func() // of the context that ends with the viewer's token
}

func (s *connSink) close() {
	s.calm()
	s.release()
	_ = s.conn.Close() // what was written was written
}

func (s *connSink) write(p []byte) error {
	if err := refresh(s.drain, &s.deadline, s.timeout, s.conn.SetWriteDeadline); err != nil {
		return err
	}
	_, err := s.conn.Write(p)
	return err
}

// gone reads without waiting for long: a viewer has nothing to say, so what
// comes is either nothing yet or the end.
func (s *connSink) gone() bool {
	if s.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
		return true
	}
	var waste [64]byte
	_, err := s.conn.Read(waste[:])
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// responseSink writes to an ordinary response.
type responseSink struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	drain    context.Context // done when the node goes down
	timeout  time.Duration
	deadline time.Time
}

func (s *responseSink) write(p []byte) error {
	err := refresh(s.drain, &s.deadline, s.timeout, s.control.SetWriteDeadline)
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write(p); err != nil {
		return err
	}
	return s.control.Flush()
}

// gone is false: the request's context tells.
func (s *responseSink) gone() bool { return false }

// refresh moves a write deadline on, but only if it has come half as near as it
// may: setting it costs, and most writes take no time.
func refresh(drain context.Context, deadline *time.Time, timeout time.Duration, set func(time.Time) error) error {
	now := time.Now()
	if deadline.Sub(now) > timeout/2 {
		return nil
	}
	*deadline = now.Add(timeout)
	return writeBy(drain, *deadline, set)
}
