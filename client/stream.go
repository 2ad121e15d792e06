package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"tidings"
	"tidings/wire"
)

// maxMessageBytes bounds one SSE message. Servers limit events far below it.
const maxMessageBytes = 64 << 20

var errSilent = fmt.Errorf("%w: the connection gave no sign of life", tidings.ErrUnavailable)

// stream is one open SSE connection. A read that waits longer than ReadTimeout,
// in which the server should have sent at least a heartbeat, ends it. The time
// that the caller takes between reads does not count.
type stream struct {
	*wire.SSEReader
	body     io.ReadCloser
	ctx      context.Context
	cancel   context.CancelCauseFunc
	watchdog *time.Timer
	timeout  time.Duration
}

// openStream sends the request and waits for the header of its answer, for at
// most patience. [io.EOF] says that there is nothing more to come (204).
func (c *Client) openStream(ctx context.Context, r *request, patience time.Duration) (*stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stream{ctx: ctx, cancel: cancel, timeout: c.opts.ReadTimeout}
	s.watchdog = time.AfterFunc(patience, func() { cancel(errSilent) })
	resp, err := c.sendStream(ctx, r)
	s.watchdog.Stop()
	if err != nil {
		cancel(err)
		return nil, err
	}
	s.body = resp.Body
	s.SSEReader = wire.NewSSEReader(s, maxMessageBytes)
	return s, nil
}

func (c *Client) sendStream(ctx context.Context, r *request) (*http.Response, error) {
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.networkError(ctx, err)
	}
	if err := checkStream(resp, r); err != nil {
		drain(resp.Body)
		return nil, err
	}
	return resp, nil
}

func checkStream(resp *http.Response, r *request) error {
	if resp.StatusCode == http.StatusNoContent {
		return io.EOF
	}
	if resp.StatusCode >= 300 {
		return responseError(resp, r)
	}
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType != wire.ContentTypeSSE {
		return fmt.Errorf("the server answers with %q where a Tidings server sends %s", mediaType, wire.ContentTypeSSE)
	}
	return nil
}

// Read reads from the connection; the stream's SSEReader calls it.
func (s *stream) Read(p []byte) (int, error) {
	s.watchdog.Reset(s.timeout)
	n, err := s.body.Read(p)
	s.watchdog.Stop()
	if err != nil && s.ctx.Err() != nil {
		err = context.Cause(s.ctx)
	}
	return n, err
}

func (s *stream) close() {
	s.watchdog.Stop()
	s.cancel(context.Canceled)
	_ = s.body.Close() // it was only read from
}

// subscription keeps a stream going: it connects again after every break, after
// the last message.
type subscription struct {
	c       *Client
	request request
	lastID  func() string // to go on after; empty: from the start
	message func(ctx context.Context, m wire.Message) error
	notify  func(Notice)
	wait    bool // for a job that does not exist yet
}

// maxWait is how long a server keeps a request for a job that does not exist
// yet.
const maxWait = 300 * time.Second

// open connects once.
func (s *subscription) open(ctx context.Context) (*stream, error) {
	r := s.request
	r.accept = wire.ContentTypeSSE
	r.lastID = s.lastID()
	patience := s.c.opts.Timeout
	if s.waiting() {
		query := make(map[string][]string, len(r.query)+1)
		for k, v := range r.query {
			query[k] = v
		}
		query["wait"] = []string{strconv.Itoa(int(maxWait.Seconds()))}
		r.query = query
		patience += maxWait
	}
	return s.c.openStream(ctx, &r, patience)
}

// waiting reports whether an unknown job is one that may still come, rather
// than one that is gone.
func (s *subscription) waiting() bool { return s.wait && s.lastID() == "" }

// run reads from the open stream, or first from one that it opens if st is nil,
// and from those that follow it until the subscription is over. It returns why:
// [io.EOF] if everything was received.
func (s *subscription) run(ctx context.Context, st *stream) error {
	pause := s.c.backoff
	for {
		if st == nil {
			var err error
			if st, err = s.connect(ctx, &pause); err != nil {
				return err
			}
		}
		received, err := s.receive(ctx, st)
		retry := st.Retry()
		st.close()
		st = nil
		if ended, ok := errors.AsType[*finalError](err); ok {
			return ended.error
		}
		if final(err) || ctx.Err() != nil {
			return err
		}
		if received {
			pause.reset()
		}
		if err := s.pause(ctx, &pause, err, retry); err != nil {
			return err
		}
	}
}

// connect opens the stream, as often as it takes.
func (s *subscription) connect(ctx context.Context, pause *backoff) (*stream, error) {
	for {
		began := time.Now()
		st, err := s.open(ctx)
		switch {
		case err == nil:
			s.tell(Notice{Kind: Connected})
			return st, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, tidings.ErrUnknownJob) && s.waiting():
			if time.Since(began) > time.Second {
				pause.reset() // the server waited too: ask again
			}
			if err := sleep(ctx, pause.next(0)); err != nil {
				return nil, err
			}
		case final(err):
			return nil, err
		default:
			var busy *busyError
			after := time.Duration(-1)
			if errors.As(err, &busy) {
				after = busy.after
			}
			if err := s.pause(ctx, pause, err, after); err != nil {
				return nil, err
			}
		}
	}
}

// pause waits before the next attempt, at least as long as the server asked
// for.
func (s *subscription) pause(ctx context.Context, pause *backoff, err error, floor time.Duration) error {
	d := pause.next(floor)
	s.c.log.Debug("stream broke off", "path", s.request.path, "error", err, "retry_in", d)
	s.tell(Notice{Kind: Disconnected, Err: err, RetryIn: d})
	return sleep(ctx, d)
}

// receive takes messages until the connection or the subscription ends.
func (s *subscription) receive(ctx context.Context, st *stream) (received bool, err error) {
	for {
		m, err := st.Next()
		if errors.Is(err, io.EOF) {
			err = errBrokeOff // the end of a connection is not the end of the log
		}
		if err != nil {
			return received, err
		}
		received = true
		if err := s.message(ctx, m); err != nil {
			return received, &finalError{err}
		}
	}
}

func (s *subscription) tell(n Notice) {
	if s.notify != nil {
		s.notify(n)
	}
}

var errBrokeOff = fmt.Errorf("%w: the server closed the connection", tidings.ErrUnavailable)

// finalError marks what ends a subscription.
type finalError struct{ error }

// final reports whether connecting again can't help. Errors of the network are
// of many kinds; those that end a subscription are known.
func final(err error) bool {
	var (
		auth     *AuthError
		problem  *Problem
		invalid  *tidings.InvalidError
		tooLarge *tidings.TooLargeError
	)
	return errors.Is(err, io.EOF) || errors.Is(err, tidings.ErrUnknownJob) ||
		errors.As(err, &auth) || errors.As(err, &problem) ||
		errors.As(err, &invalid) || errors.As(err, &tooLarge)
}

// NoticeKind says what a [Notice] is about.
type NoticeKind string

// What a follower notices besides events.
const (
	Connected    NoticeKind = "connected"    // the connection is there, again
	Disconnected NoticeKind = "disconnected" // it broke; Err says how, RetryIn when it is tried again
	Stalled      NoticeKind = "stalled"      // the job gives no sign of life
	Resumed      NoticeKind = "resumed"      // signs of life are back
)

// Notice is what happens to a stream besides events.
type Notice struct {
	Kind    NoticeKind
	Err     error
	RetryIn time.Duration
}
