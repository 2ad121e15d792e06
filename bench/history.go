package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"tidings/wire"
)

// runHistory reads a long job from its start: once as a stream of Server-Sent
// Events over one connection, once page by page as JSON.
func runHistory(ctx context.Context, b *bench) error {
	const job = "history"
	if err := fill(b.server.addr, job, b.history); err != nil {
		return err
	}
	start := time.Now()
	replay, err := join(ctx, b.server.addr, 1, func(int) string { return job })
	if err != nil {
		return err
	}
	err = replay.await(ctx, int64(b.history), 2*time.Minute)
	took := time.Since(start)
	size := replay.viewers[0].bytes.Load()
	replay.leave()
	if err != nil {
		return err
	}
	b.row(b.store, "replay over SSE", b.history, rate(int64(b.history), took), megabytesPerSecond(size, took))

	start = time.Now()
	events, size, err := readPages(ctx, b.server.addr, job)
	took = time.Since(start)
	if err != nil {
		return err
	}
	if events != b.history {
		return fmt.Errorf("the pages hold %d events of %d", events, b.history)
	}
	b.row(b.store, "history as JSON, by pages", events, rate(int64(events), took), megabytesPerSecond(size, took))

	start = time.Now()
	events, size, err = readLines(ctx, b.server.addr, job)
	took = time.Since(start)
	if err != nil {
		return err
	}
	if events != b.history {
		return fmt.Errorf("the lines are %d of %d", events, b.history)
	}
	b.row(b.store, "history as NDJSON, one request", events, rate(int64(events), took), megabytesPerSecond(size, took))
	return nil
}

// readPages follows has_more to the end. The last 200 bytes of a page tell
// where it ends, so that the client need not parse the events.
func readPages(ctx context.Context, addr, job string) (events int, size int64, err error) {
	after := ""
	buf := make([]byte, 0, 1<<20)
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/v1/jobs/%s/events?limit=%d&after=%s", addr, job, pageLimit, after), nil)
		if err != nil {
			return 0, 0, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, 0, err
		}
		buf, err = readInto(buf[:0], res.Body)
		_ = res.Body.Close()
		if err != nil {
			return 0, 0, err
		}
		if res.StatusCode != http.StatusOK {
			return 0, 0, fmt.Errorf("history: %s: %.300s", res.Status, buf)
		}
		size += int64(len(buf))
		n, last, more, err := pageEnd(buf)
		if err != nil {
			return 0, 0, err
		}
		events += n
		if !more {
			return events, size, nil
		}
		after = last
	}
}

// pageLimit is the number of events asked for at a time.
const pageLimit = 10_000

// readInto reads all of r behind buf, which grows as needed.
func readInto(buf []byte, r io.Reader) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

// pageEnd counts the events of a page and reads what stands behind them.
func pageEnd(page []byte) (events int, last string, more bool, err error) {
	i := bytes.LastIndex(page, []byte("],\""))
	if i < 0 {
		return 0, "", false, fmt.Errorf("a page without an end: %.200q", page)
	}
	var tail struct {
		LastID string `json:"last_id"`
		More   bool   `json:"has_more"`
	}
	if err := json.Unmarshal(append([]byte{'{'}, page[i+2:]...), &tail); err != nil {
		return 0, "", false, err
	}
	return bytes.Count(page, []byte(`"event_type":`)), tail.LastID, tail.More, nil
}

// readLines reads the whole history as NDJSON and counts lines.
func readLines(ctx context.Context, addr, job string) (events int, size int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/v1/jobs/%s/events", addr, job), nil)
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Accept", wire.ContentTypeNDJSON)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close() // only read from
	if res.StatusCode != http.StatusOK {
		return 0, 0, fmt.Errorf("history: %s", res.Status)
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := res.Body.Read(buf)
		size += int64(n)
		events += bytes.Count(buf[:n], []byte{'\n'})
		if errors.Is(err, io.EOF) {
			return events, size, nil
		}
		if err != nil {
			return events, size, err
		}
	}
}
