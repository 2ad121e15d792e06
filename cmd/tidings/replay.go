package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidings"
	"tidings/app"
)

type replayCmd struct {
	Files     []string      `arg:"" name:"file" help:"Files of events, one as JSON a line; a directory stands for its *.jsonl and *.ndjson files, - for standard input."`
	Speed     string        `help:"Events a second in each file, or a factor of the recorded speed such as 2x. 0: as fast as possible." default:"0"`
	JobPrefix string        `help:"Put this before each job ID, to replay a run again." placeholder:"TEXT"`
	End       bool          `help:"Publish a done event after a run that has no terminal event."`
	Parallel  int           `help:"Files replayed at the same time." default:"4"`
	Data      string        `help:"Write straight to the embedded store in this folder, which no server may have open." type:"path" placeholder:"DIR"`
	Redis     string        `help:"Write straight to this Redis or Valkey." placeholder:"URL"`
	RetryFor  time.Duration `help:"How long to go on trying when the server is lost on the way." default:"30s"`
}

func (replayCmd) Help() string {
	return `Publishes runs that were recorded as lines of JSON with job_id, event_type, data and, if known, timestamp; "tidings tail --json" prints such lines. Lines without a job_id belong to the job named as the file. The data arrives as it was recorded.

Examples:

    tidings replay recorded-runs/ --job-prefix again-
    tidings replay run.jsonl --speed 20
    tidings tail job-42 --json --no-follow | tidings replay - --job-prefix copy-`
}

// Run replays the files.
func (r *replayCmd) Run(ctx context.Context, e *env) (err error) {
	pace, err := parseSpeed(r.Speed)
	if err != nil {
		return err
	}
	files, err := expand(r.Files)
	if err != nil {
		return err
	}
	to, leave, err := r.target(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	ctx, patient := withPatience(ctx, to, r.RetryFor, e.err)
	defer patient.release()
	return r.all(ctx, e, files, &replayer{
		prefix: r.JobPrefix, pace: pace, end: r.End, in: e.in,
		publisher: tidings.NewPublisher(patient, &tidings.PublisherOptions{ProducerID: "replay-" + tidings.NewJobID()}),
	})
}

// target is where the events go, and how to leave it.
func (r *replayCmd) target(ctx context.Context, e *env) (tidings.Appender, func() error, error) {
	if r.Data == "" && r.Redis == "" {
		c, err := e.client()
		return c, func() error { return nil }, err
	}
	if r.Data != "" && r.Redis != "" {
		return nil, nil, errors.New("--data and --redis name two stores; give one")
	}
	store, err := app.OpenStore(ctx, app.Config{DataDir: r.Data, RedisURL: r.Redis})
	if err != nil {
		return nil, nil, err
	}
	return store, store.Close, nil
}

// expand gives the files that the arguments stand for.
func expand(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case arg == "-":
			files = append(files, arg)
		case err != nil:
			return nil, err
		case !info.IsDir():
			files = append(files, arg)
		default:
			inside, err := recordingsIn(arg)
			if err != nil {
				return nil, err
			}
			files = append(files, inside...)
		}
	}
	return files, nil
}

func recordingsIn(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && slices.Contains([]string{".jsonl", ".ndjson"}, filepath.Ext(path)) {
			files = append(files, path)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no *.jsonl or *.ndjson file", dir)
	}
	return files, err
}

// pace says when the next event of a file is due.
type pace struct {
	perSecond float64 // of each file; zero: no limit
	factor    float64 // of the recorded speed; zero: not by that
}

func parseSpeed(text string) (pace, error) {
	number, isFactor := strings.CutSuffix(text, "x")
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil || n < 0 || n > 1e9 || (isFactor && n == 0):
		return pace{}, fmt.Errorf("--speed %q: give events a second such as 20, a factor of the recorded speed such as 2x, or 0", text)
	case isFactor:
		return pace{factor: n}, nil
	}
	return pace{perSecond: n}, nil
}

// limited reports whether events wait for their time, and so go one by one.
func (p pace) limited() bool { return p.perSecond > 0 || p.factor > 0 }

// clock holds the pace of one file.
type clock struct {
	pace
	began    time.Time
	recorded time.Time // of the first event
	count    int
}

// await waits until the event is due.
func (c *clock) await(ctx context.Context, e *tidings.Event) error {
	if c.began.IsZero() {
		c.began, c.recorded = time.Now(), e.Time
	}
	var due time.Duration
	switch {
	case c.factor > 0 && e.Time.IsZero():
		return fmt.Errorf("the events have no timestamps, so there is no recorded speed; give --speed as events a second")
	case c.factor > 0:
		due = time.Duration(float64(e.Time.Sub(c.recorded)) / c.factor)
	case c.perSecond > 0:
		due = time.Duration(float64(c.count) / c.perSecond * float64(time.Second))
	}
	c.count++
	wait := due - time.Since(c.began)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// open opens a file of events and names the job of its lines that name none.
func (r *replayer) open(path string) (in io.ReadCloser, job string, err error) {
	if path == "-" {
		return io.NopCloser(r.in), "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	base := filepath.Base(path)
	return f, strings.TrimSuffix(base, filepath.Ext(base)), nil
}
