package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"tidings"
	"tidings/app"
)

// server is a Tidings server within this program.
type server struct {
	url    string
	app    *app.App
	folder string
}

// embedded starts a server on a free port, with a store in a folder of its own.
func embedded(ctx context.Context) (*server, error) {
	folder, err := os.MkdirTemp("", "eino-graph-")
	if err != nil {
		return nil, err
	}
	a, err := app.Start(ctx, app.Config{Addr: "127.0.0.1:0", DataDir: folder, LogLevel: "error"})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return &server{url: a.URL(), app: a, folder: folder}, nil
}

func (s *server) close() {
	_ = s.app.Stop(context.Background())
	_ = os.RemoveAll(s.folder)
}

// show prints the job's events as they come, to the end of the job. It stands
// for "tidings tail", whose output is nicer.
func show(ctx context.Context, out io.Writer, jobs tidings.Reader, id string) error {
	follower, err := jobs.Follow(ctx, id, tidings.Cursor{})
	if err != nil {
		return err
	}
	defer follower.Close()
	for {
		events, err := follower.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		for _, e := range events {
			fmt.Fprintf(out, "  %s %-12s %s\n", e.Time.Format("15:04:05.000"), e.Type, brief(e.Data))
		}
	}
}

// brief is what people look at first.
func brief(data json.RawMessage) string {
	var d struct {
		Status, Kind, Name, Tool, Delta string
		Input, Output, Error            json.RawMessage
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return string(data)
	}
	var words []string
	for _, w := range []string{d.Status, d.Kind, cmp.Or(d.Tool, d.Name), d.Delta, string(d.Input), string(d.Output), string(d.Error)} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}
