package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"tidings"
	"tidings/app"
	"tidings/client"
	"tidings/demo"
)

type demoCmd struct {
	Dir    string `arg:"" optional:"" help:"Folder to study. Default: the current one." type:"existingdir"`
	Addr   string `help:"Address to listen on. Default: 127.0.0.1:8080, or the next port that is free." placeholder:"HOST:PORT"`
	Data   string `help:"Folder of the embedded store. Default: one that is deleted at the end." type:"path" placeholder:"DIR"`
	Redis  string `help:"Keep the events in this Redis or Valkey instead." placeholder:"URL"`
	Report string `help:"File to write the report to." default:"${report}" type:"path" placeholder:"FILE"`
	Exit   bool   `help:"End when the job is done instead of serving on."`
	Fast   bool   `help:"Don't slow the agent down for people who watch."`
}

func (demoCmd) Help() string {
	return `Serves Tidings and runs a real agent as a job: it studies a folder, phase by phase, and writes a Markdown report about it. No language model is needed; with OPENAI_API_KEY set (and OPENAI_BASE_URL and OPENAI_MODEL, if wanted) that one is used, and excerpts of the folder's files are sent to it.

Examples:

    tidings demo
    tidings demo ~/src/project --exit
    tidings demo --redis redis://localhost:6379`
}

// Run serves, studies and shows it.
func (d *demoCmd) Run(ctx context.Context, e *env) (err error) {
	config, clean, err := d.config()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	ctx, e, release := e.whileRead(ctx)
	defer release()
	a, err := d.serve(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop(context.WithoutCancel(ctx))) }()
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) }) // the second one ends the process
	result, err := d.study(ctx, e, a.URL())
	switch {
	case errors.Is(context.Cause(ctx), errOutputGone):
		return &codeError{code: exitBrokenPipe}
	case err != nil && ctx.Err() == nil && result.Status == tidings.StatusCancelled:
		return &codeError{code: exitCancelled, err: err}
	case err != nil && result.Status == tidings.StatusFailed:
		return &codeError{code: exitFailed, err: err}
	case err != nil:
		return err
	}
	fmt.Fprintf(e.out, "\nThe report is %s\n%s\n", result.Report, strings.Join(result.About, " "))
	d.showResume(ctx, e, a, result.JobID)
	if d.Exit {
		return nil
	}
	fmt.Fprintf(e.out, "Still serving on %s (Ctrl-C stops it)\n", a.URL())
	return a.Wait(ctx)
}

// config is that of the server, and how to clean up behind it.
func (d *demoCmd) config() (app.Config, func() error, error) {
	c := app.Config{
		DataDir: d.Data, RedisURL: d.Redis, Version: version(),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if d.Data != "" || d.Redis != "" {
		return c, func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "tidings-demo-")
	c.DataDir = dir
	return c, func() error { return os.RemoveAll(dir) }, err
}

// portsTried is how many ports are looked at for a free one.
const portsTried = 20

// serve starts the server at the address that was asked for, or at the first
// that is free.
func (d *demoCmd) serve(ctx context.Context, c app.Config) (*app.App, error) {
	if d.Addr != "" {
		c.Addr = d.Addr
		return app.Start(ctx, c)
	}
	host, port, err := net.SplitHostPort(app.DefaultAddr)
	if err != nil {
		return nil, err
	}
	first, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	for n := first; ; n++ {
		c.Addr = net.JoinHostPort(host, strconv.Itoa(n))
		a, err := app.Start(ctx, c)
		if err == nil || n == first+portsTried || !errors.Is(err, syscall.EADDRINUSE) {
			return a, err
		}
	}
}

// study runs the agent and shows its events as any viewer sees them: over HTTP.
func (d *demoCmd) study(ctx context.Context, e *env, url string) (demo.Result, error) {
	c, err := client.New(url, nil)
	if err != nil {
		return demo.Result{}, err
	}
	job := tidings.NewJobID()
	pace := demo.DefaultPace
	if d.Fast {
		pace = 0
	}
	model := demo.ModelFromEnv(os.Getenv, pace)
	announce(e.out, url, job, model.Plan())

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var viewer sync.WaitGroup
	viewing, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	var viewErr error
	viewer.Go(func() { viewErr = watch(viewing, e, url, job) })
	result, err := demo.Run(ctx, demo.Config{To: c, JobID: job, Dir: d.Dir, Report: d.Report, Model: model, Pace: pace, Labels: map[string]string{"demo": "true"}})
	if err != nil {
		leave()
	}
	viewer.Wait() // it ends with the job
	if err == nil {
		err = viewErr
	}
	return result, err
}

// watch shows the job as tidings tail does.
func watch(ctx context.Context, e *env, url, job string) error {
	g := *e.globals
	g.URL, g.Token = url, ""
	viewer := *e
	viewer.globals = &g
	viewer.err = io.Discard // "waiting for the job" is no news here
	return (&tailCmd{Job: job}).Run(ctx, &viewer)
}

func announce(out io.Writer, url, job, plan string) {
	fmt.Fprintf(out, `Tidings serves on %[1]s. %[3]s

Watch this job from anywhere, leave and come back:

    tidings tail %[2]s --url %[1]s
    curl -N -H 'Accept: text/event-stream' %[1]s/v1/jobs/%[2]s/events

`, url, job, plan)
}

// showResume prints how to resume after an event that there is.
func (d *demoCmd) showResume(ctx context.Context, e *env, a *app.App, job string) {
	page, err := a.Store().Read(ctx, job, tidings.Query{Limit: 10})
	if err != nil || len(page.Events) == 0 {
		return // the job ran; it is only an example that is missing
	}
	at := tidings.Cursor{ID: page.Events[len(page.Events)-1].ID, Incarnation: page.Incarnation}
	fmt.Fprintf(e.out, "\nResume after its event %d, as a viewer that was away does, and miss nothing:\n\n"+
		"    curl -N -H 'Accept: text/event-stream' -H 'Last-Event-ID: %s' %s/v1/jobs/%s/events\n\n", len(page.Events), at, a.URL(), job)
}
