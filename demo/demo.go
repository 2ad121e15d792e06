package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"tidings"
)

// DefaultPace lets a study of a small folder take 10 to 20 seconds.
const DefaultPace = 40 * time.Millisecond

// Config says what to study and where to tell of it.
type Config struct {
	// To takes the events. Required.
	To tidings.Appender
	// JobID is the job's. Empty: a new one.
	JobID string
	// Dir is the folder to study. Empty: the current one.
	Dir string
	// Report is the file to write. Empty: [DefaultReport] in the current
	// folder. A file that no earlier run wrote is left alone: the report goes
	// to a free name beside it, which [Result] tells.
	Report string
	// Model decides and writes. Nil: [Rules] at Pace.
	Model Model
	// Pace slows the agent down for people who watch: the time between two
	// pieces of text of [Rules], and six times that before a tool runs. Zero:
	// as fast as possible.
	Pace time.Duration
	// Labels are put on the job.
	Labels map[string]string
	// Logger is told what goes wrong on the side. Nil: [slog.Default].
	Logger *slog.Logger
}

// Result says how a study went.
type Result struct {
	JobID  string
	Status tidings.Status // completed, failed or cancelled
	Report string         // absolute path of the report; empty if there is none
	Moved  bool           // the report is not at the asked-for name, which is somebody's own file
	Model  string         // that wrote the last sentence
	About  []string       // the models that took part, one or two sentences each
	Files  int            // studied
	Took   time.Duration
}

// Run studies a folder as one job. The error says why there is no report:
// before the job began, Result is zero but for JobID; otherwise the job's own
// terminal event says the same. When ctx ends or the job is asked to stop, the
// study stops within a moment and the job ends as cancelled, with the cause as
// the error.
func Run(ctx context.Context, cfg Config) (Result, error) {
	cfg = cfg.withDefaults()
	start := time.Now()
	a, want, err := prepare(cfg)
	if err != nil {
		return Result{JobID: cfg.JobID}, err
	}
	defer a.folder.close()
	a.job = tidings.Start(ctx, cfg.JobID, cfg.To, &tidings.HandlerOptions{
		Name: "study of " + a.folder.name, Labels: cfg.Labels, Logger: cfg.Logger,
	})
	output, err := a.run(a.job.Context())
	result := Result{JobID: cfg.JobID, Status: tidings.StatusCompleted, Report: a.report, Moved: a.report != want,
		Model: a.model.Name(), About: a.story.about, Files: a.files, Took: time.Since(start)}
	if err != nil {
		result.Status, result.Report, result.Moved = tidings.StatusFailed, "", false
		err = asCancelled(ctx, err)
		if errors.Is(err, tidings.ErrCancelRequested) {
			result.Status = tidings.StatusCancelled
		}
	}
	a.job.End(output, err)
	closing, stop := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer stop()
	if closeErr := a.job.Close(closing); err == nil && closeErr != nil {
		err = fmt.Errorf("the report is written, but its last events are not stored: %w", closeErr)
	}
	return result, err
}

// asCancelled turns the error of a study whose caller has ended ctx into that
// of a job that was asked to stop.
func asCancelled(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, tidings.ErrCancelRequested) {
		return err
	}
	return &tidings.CancelledError{By: "the program that ran it", Reason: context.Cause(ctx).Error()}
}

// closeTimeout bounds the wait for the last events to be stored.
const closeTimeout = 15 * time.Second

func (c Config) withDefaults() Config {
	c.JobID = cmp.Or(c.JobID, tidings.NewJobID())
	c.Dir = cmp.Or(c.Dir, ".")
	c.Report = cmp.Or(c.Report, DefaultReport)
	if c.Model == nil {
		c.Model = &Rules{Pace: c.Pace}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// prepare does all that can fail before the job begins. It also gives the
// absolute path of the report that was asked for.
func prepare(cfg Config) (a *agent, want string, err error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, "", err
	}
	if want, err = filepath.Abs(cfg.Report); err != nil {
		return nil, "", err
	}
	report, err := reportPath(want)
	if err != nil {
		return nil, "", err
	}
	exclude := ""
	if below, err := filepath.Rel(dir, report); err == nil {
		exclude = filepath.ToSlash(below)
	}
	d, err := openFolder(dir, label(filepath.Base(dir)), exclude)
	if err != nil {
		return nil, "", err
	}
	a = &agent{folder: d, report: report, model: cfg.Model, pace: cfg.Pace, warn: cfg.Logger.Warn}
	a.story.jobID = cfg.JobID
	return a, want, nil
}
