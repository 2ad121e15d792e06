package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Conn is a bare connection that speaks RESP 2, the protocol that every Redis
// client speaks (https://redis.io/docs/latest/develop/reference/protocol-spec/).
// Tests use it where they stand for a program that knows nothing of Tidings.
// Send and Receive may run at the same time; otherwise not safe for concurrent
// use.
type Conn struct {
	c net.Conn
	r *bufio.Reader
}

// Dial opens a connection that is closed when the test ends.
func (r *Redis) Dial() *Conn {
	r.t.Helper()
	return DialAddr(r.t, r.Addr())
}

// DialAddr is [Redis.Dial] to any server.
func DialAddr(t testing.TB, addr string) *Conn {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.c.Close() })
	return c
}

func dial(addr string) (*Conn, error) {
	c, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		return nil, err
	}
	return &Conn{c: c, r: bufio.NewReader(c)}, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.c.Close() }

// Send writes one command.
func (c *Conn) Send(args ...string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if err := c.c.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	_, err := io.WriteString(c.c, b.String())
	return err
}

// Receive waits up to wait for one reply or message: a string, an int64, nil,
// or []any of these. An error reply is returned as an [Error].
func (c *Conn) Receive(wait time.Duration) (any, error) {
	if err := c.c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	return c.reply()
}

// Do sends a command and waits for its reply.
func (c *Conn) Do(args ...string) (any, error) {
	if err := c.Send(args...); err != nil {
		return nil, err
	}
	return c.Receive(Patience)
}

// Error is an error reply of the server.
type Error string

func (e Error) Error() string { return string(e) }

func (c *Conn) reply() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return nil, errors.New("redistest: an empty line instead of a reply")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, Error(rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	switch {
	case err != nil:
		return nil, fmt.Errorf("redistest: a malformed reply: %q", line)
	case kind == ':':
		return n, nil
	case kind == '$':
		return c.bulk(n)
	case kind == '*':
		return c.array(n)
	}
	return nil, fmt.Errorf("redistest: an unknown kind of reply: %q", line)
}

func (c *Conn) bulk(n int64) (any, error) {
	if n < 0 {
		return nil, nil
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(c.r, text); err != nil {
		return nil, err
	}
	return string(text[:n]), nil
}

func (c *Conn) array(n int64) (any, error) {
	if n < 0 {
		return nil, nil
	}
	out := make([]any, n)
	for i := range out {
		v, err := c.reply()
		var refused Error
		switch {
		case errors.As(err, &refused): // an error inside an array is a value of it
			v = refused
		case err != nil:
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// CLI runs one command as redis-cli would and gives its reply as text, the
// elements of an array on lines of their own. It fails the test on an error.
func (r *Redis) CLI(args ...string) string {
	r.t.Helper()
	text, err := ask(r.Addr(), args...)
	if err != nil {
		r.t.Fatalf("redis-server on %s: %s: %v", r.Addr(), strings.Join(args, " "), err)
	}
	return text
}

// ask runs one command on a connection of its own.
func ask(addr string, args ...string) (string, error) {
	c, err := dial(addr)
	if err != nil {
		return "", err
	}
	defer c.Close() // nothing is left to be written
	v, err := c.Do(args...)
	if err != nil {
		return "", err
	}
	return text(v), nil
}

func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []any:
		lines := make([]string, len(v))
		for i := range v {
			lines[i] = text(v[i])
		}
		return strings.Join(lines, "\n")
	default:
		return fmt.Sprint(v)
	}
}
