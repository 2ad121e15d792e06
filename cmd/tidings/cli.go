package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"tidings/client"
	"tidings/demo"
)

// cli is the command line. Every flag is also an environment variable and a key
// of the config file: see config.go for the order.
type cli struct {
	globals

	Serve   serveCmd   `cmd:"" help:"Serve the HTTP API."`
	Demo    demoCmd    `cmd:"" help:"Serve, and watch an agent study a folder."`
	Tail    tailCmd    `cmd:"" help:"Show a job's events as they happen."`
	Publish publishCmd `cmd:"" help:"Publish events to a job."`
	Replay  replayCmd  `cmd:"" help:"Publish recorded runs."`
	Run     runCmd     `cmd:"" help:"Run a program as a job."`
	Submit  submitCmd  `cmd:"" help:"Put a job on a task queue."`
	Jobs    jobsCmd    `cmd:"" help:"List jobs."`
	Workers workersCmd `cmd:"" help:"Show the workers of task queues."`
	Alerts  alertsCmd  `cmd:"" help:"List alerts."`
	Silence silenceCmd `cmd:"" help:"Silence alerts for a time."`
	Rules   rulesCmd   `cmd:"" help:"Check alert rules, and try them on recorded runs."`
	Cancel  cancelCmd  `cmd:"" help:"Ask a job to stop."`
	Delete  deleteCmd  `cmd:"" help:"Delete a job and its events."`

	Token      tokenCmd      `cmd:"" help:"Make a token for a server with a JWT secret."`
	Health     healthCmd     `cmd:"" help:"Ask whether the server can take events now."`
	Completion completionCmd `cmd:"" help:"Print a script that completes commands and flags in a shell."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// globals are the flags that every command has.
type globals struct {
	URL    string `name:"url" help:"Server to speak to." default:"http://127.0.0.1:8080" placeholder:"URL"`
	Token  string `help:"API key or JWT to show to the server." placeholder:"TOKEN"`
	Config string `help:"YAML file with defaults for flags. Without it, ./tidings.yaml or $XDG_CONFIG_HOME/tidings/config.yaml is read if there." placeholder:"FILE"`
	Color  string `help:"Colours: auto, always or never. Auto means on a terminal, unless NO_COLOR is set." enum:"auto,always,never" default:"auto"`
}

const description = `Tidings keeps the story of a job while it happens: every event is stored in order, and anyone may watch live, leave, and come back without missing one.

Each flag may also be given as an environment variable, shown with the flag, or in a YAML file (see --config).`

// env is what a command works with.
type env struct {
	stdio
	globals *globals
	model   *kong.Application
}

// client makes a client of the server that the flags name.
func (e *env) client() (*client.Client, error) {
	return client.New(e.globals.URL, &client.Options{Token: e.globals.Token, UserAgent: "tidings-cli/" + version()})
}

// run is main with its dependencies given; it returns the exit code.
func run(args []string, io stdio) int {
	var c cli
	parser, err := newParser(&c, io)
	if err != nil {
		fmt.Fprintf(io.err, "tidings: %v\n", err)
		return exitError
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return reportUsage(io.err, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(&env{stdio: io, globals: &c.globals, model: parser.Model})
	if ctx.Err() != nil && isCancelled(err) {
		err = &codeError{code: exitInterrupted}
	}
	return report(io.err, err, c.URL)
}

func newParser(c *cli, io stdio) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("tidings"),
		kong.Description(description),
		kong.PostBuild(nameEnv),
		kong.Vars{"report": demo.DefaultReport},
		kong.Writers(io.out, io.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
}

// nameEnv gives every flag its environment variable: TIDINGS_URL for those of
// every command, and those of serve, which is what is deployed; the others carry
// their command, as TIDINGS_TAIL_JSON, so that what a server is told in its
// environment does not change what a command there does.
func nameEnv(k *kong.Kong) error {
	for _, flag := range k.Model.Flags {
		setEnv(flag, "TIDINGS_")
	}
	for _, command := range k.Model.Children {
		prefix := "TIDINGS_"
		if command.Name != "serve" {
			prefix += strings.ToUpper(command.Name) + "_"
		}
		for _, flag := range command.Flags {
			setEnv(flag, prefix)
		}
	}
	return nil
}

func setEnv(flag *kong.Flag, prefix string) {
	if flag.Name == "help" {
		return
	}
	name := prefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
	flag.Envs = append([]string{name}, flag.Envs...)
	flag.Tag.Envs = flag.Envs
}
