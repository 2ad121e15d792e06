package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// viewer is one watching connection. It counts events by their id lines: in a
// stream of Server-Sent Events nothing else can follow a line's end as "id: ".
type viewer struct {
	conn  net.Conn
	seen  atomic.Int64
	bytes atomic.Int64
	err   error // why it ended, after its goroutine has
}

// crowd is many viewers and their goroutines.
type crowd struct {
	viewers []*viewer
	wg      sync.WaitGroup
	closing atomic.Bool
}

// watchRequest opens a stream of a job.
func watchRequest(addr, job, after string) []byte {
	id := ""
	if after != "" {
		id = "Last-Event-ID: " + after + "\r\n"
	}
	return fmt.Appendf(nil, "GET /v1/jobs/%s/events HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n", job, addr, id)
}

// join connects n viewers and starts to read with each; job says which.
func join(ctx context.Context, addr string, n int, job func(i int) string) (*crowd, error) {
	c := &crowd{}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		v, err := connect(addr, job(i))
		if err != nil {
			c.leave()
			return nil, fmt.Errorf("viewer %d: %w", i, err)
		}
		c.viewers = append(c.viewers, v)
		c.wg.Go(func() { v.err = v.read(nil) })
	}
	return c, context.Cause(ctx)
}

func connect(addr, job string) (*viewer, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(watchRequest(addr, job, "")); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &viewer{conn: conn}, nil
}

// leave ends every viewer and waits.
func (c *crowd) leave() {
	c.closing.Store(true)
	for _, v := range c.viewers {
		_ = v.conn.Close()
	}
	c.wg.Wait()
}

// failed gives the first viewer's error that is not the crowd's own leaving.
func (c *crowd) failed() error {
	for i, v := range c.viewers {
		if v.err != nil && !errors.Is(v.err, net.ErrClosed) {
			return fmt.Errorf("viewer %d: %w", i, v.err)
		}
	}
	return nil
}

func (c *crowd) seen() (sum int64) {
	for _, v := range c.viewers {
		sum += v.seen.Load()
	}
	return sum
}

// await waits until the viewers have seen so many events together.
func (c *crowd) await(ctx context.Context, want int64, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for c.seen() < want {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s the viewers have %d of %d events", limit, c.seen(), want)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

var (
	idLine     = []byte("\nid: ")
	statusLine = []byte("HTTP/1.1 200")
)

// read counts events until the stream ends. onData, if set, is given what was
// read, with a few bytes of overlap before it.
func (v *viewer) read(onData func([]byte)) error {
	buf := make([]byte, 4<<10)
	kept := 0
	first := true
	for {
		n, err := v.conn.Read(buf[kept:])
		got := buf[:kept+n]
		if first && len(got) >= len(statusLine) {
			first = false
			if !bytes.HasPrefix(got, statusLine) {
				return fmt.Errorf("the server answered %.60q", got)
			}
		}
		v.bytes.Add(int64(n))
		v.seen.Add(int64(bytes.Count(got, idLine)))
		if onData != nil {
			onData(got)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// A match that began at the end is found again: too short to count twice.
		kept = copy(buf, got[max(0, len(got)-len(idLine)+1):])
	}
}

// isReset reports whether the other side has cut the connection.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
