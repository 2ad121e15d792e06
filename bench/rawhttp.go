package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tidings/wire"
)

// appender sends prepared appends over one kept connection.
type appender struct {
	conn net.Conn
	r    *bufio.Reader
	addr string
}

func dialAppender(addr string) (*appender, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &appender{conn: conn, r: bufio.NewReaderSize(conn, 4<<10), addr: addr}, nil
}

func (a *appender) close() { _ = a.conn.Close() }

// request is the bytes of an append to a job.
func (a *appender) request(job string, body []byte) []byte {
	head := fmt.Sprintf("POST /v1/jobs/%s/events HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", job, a.addr, len(body))
	return append([]byte(head), body...)
}

// send writes a request and reads the answer, which must be 201.
func (a *appender) send(request []byte) error {
	_ = a.conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := a.conn.Write(request); err != nil {
		return err
	}
	status, err := a.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	created := bytes.HasPrefix(status, []byte("HTTP/1.1 201"))
	text := strings.TrimSpace(string(status))
	size, err := a.headers()
	if err != nil {
		return err
	}
	if created {
		_, err = a.r.Discard(size)
		return err
	}
	body, _ := io.ReadAll(io.LimitReader(a.r, int64(min(size, 500)))) // to say why
	return fmt.Errorf("append: %s: %s", text, body)
}

var contentLength = []byte("content-length:")

// headers reads to the end of the header and gives the length of the body.
func (a *appender) headers() (int, error) {
	size := -1
	for {
		line, err := a.r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return 0, err
			}
		}
	}
	if size < 0 {
		return 0, errors.New("append: an answer without Content-Length")
	}
	return size, nil
}

// eventBytes is the size of the event that most scenarios append.
const eventBytes = 300

// event is the JSON of an event of that size; t is in its data, for latency.
func event(t int64) []byte { return eventOf(eventBytes, t) }

func eventOf(size int, t int64) []byte {
	head := fmt.Sprintf(`{"event_type":"thought","data":{"status":"delta","t":%d,"delta":"`, t)
	return fmt.Appendf(nil, "%s%s\"}}", head, strings.Repeat("x", max(0, size-len(head)-3)))
}

// fill appends n events to a job, many in a request.
func fill(addr, job string, n int) error { return fillSized(addr, job, n, eventBytes) }

func fillSized(addr, job string, n, size int) error {
	const chunk = 5000
	for n > 0 {
		count := min(chunk, n)
		lines := bytes.Repeat(append(eventOf(size, 0), '\n'), count)
		res, err := http.Post("http://"+addr+"/v1/jobs/"+job+"/events", wire.ContentTypeNDJSON, bytes.NewReader(lines))
		if err != nil {
			return err
		}
		answer, _ := io.ReadAll(io.LimitReader(res.Body, 500)) // to say why
		_ = res.Body.Close()
		if res.StatusCode/100 != 2 {
			return fmt.Errorf("fill %s: %s: %s", job, res.Status, answer)
		}
		n -= count
	}
	return nil
}

// metrics gives the sums of the server's metrics, by name without labels.
func (p *process) metrics() (map[string]float64, error) {
	res, err := http.Get("http://" + p.addr + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() // only read from
	out := map[string]float64{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		if i < 0 {
			continue
		}
		name, _, _ := strings.Cut(line[:i], "{")
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if err == nil {
			out[name] += value
		}
	}
	return out, lines.Err()
}
