package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"syscall"
	"text/tabwriter"
	"time"

	"tidings/app"
	"tidings/client"
)

// alertFlags say what there are alerts of, and who is told.
type alertFlags struct {
	Alerts    bool   `help:"Evaluate alert rules." default:"true" negatable:""`
	Rules     string `help:"YAML file of alert rules and of who is told, besides the built-in rules. It is read again when it changes, and on SIGHUP." type:"path" placeholder:"FILE"`
	PublicURL string `name:"public-url" help:"Where people reach this server, as links in notices say. Default: the address it listens on." placeholder:"URL"`
}

func (f *alertFlags) apply(c *app.Config) {
	c.NoAlerts, c.RulesFile, c.PublicURL = !f.Alerts, f.Rules, f.PublicURL
}

// reloadOnHangup has the rules read again on each SIGHUP, from when it returns
// until ctx ends. What is wrong with them is logged.
func reloadOnHangup(ctx context.Context, a *app.App) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-hangups:
				_ = a.ReloadRules() // it is logged, and shown
			case <-ctx.Done():
				return
			}
		}
	}()
}

type alertsCmd struct {
	State []string `help:"Only alerts of these states: pending, firing, resolved." default:"firing,pending" placeholder:"STATE"`
	JSON  bool     `name:"json" help:"Print each alert as one line of JSON."`
}

func (alertsCmd) Help() string {
	return `Lists alerts, the worst first. Exit code 1 says that an alert fires of which people are told and that is more than information.

Examples:

    tidings alerts
    tidings alerts --state resolved --json`
}

// Run lists the alerts.
func (a *alertsCmd) Run(ctx context.Context, e *env) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	list, err := c.Alerts(ctx, a.State...)
	if err != nil {
		return err
	}
	if a.JSON {
		enc := json.NewEncoder(e.out)
		enc.SetEscapeHTML(false)
		for i := range list {
			err = errors.Join(err, enc.Encode(&list[i]))
		}
	} else {
		err = printAlerts(e.out, list, e.palette(e.out), time.Now())
	}
	if err == nil && anyFires(list) {
		return &codeError{code: exitFailed}
	}
	return err
}

func anyFires(list []client.Alert) bool {
	for i := range list {
		if a := &list[i]; a.State == "firing" && a.Severity != "info" && len(a.SilencedBy)+len(a.InhibitedBy) == 0 {
			return true
		}
	}
	return false
}

func printAlerts(out io.Writer, list []client.Alert, color palette, now time.Time) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STATE\tSEVERITY\tRULE\tSINCE\tWHAT")
	for i := range list {
		a := &list[i]
		state := a.State
		switch {
		case len(a.SilencedBy) > 0:
			state += " (silenced)"
		case len(a.InhibitedBy) > 0:
			state += " (inhibited)"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", state, a.Severity, oneLine(a.Rule, 40), ago(now.Sub(a.Since)), oneLine(a.Summary, 160))
	}
	return table.Flush()
}

type silenceCmd struct {
	Match   []string      `arg:"" optional:"" name:"matcher" help:"Labels that an alert must have, as alertname=loop or name=~rep.*; all must match."`
	For     time.Duration `help:"How long." default:"1h"`
	Comment string        `help:"Why." short:"m" placeholder:"TEXT"`
	By      string        `help:"Who. Default: you." placeholder:"NAME"`
	End     string        `help:"End the silence of this ID instead." placeholder:"ID"`
}

func (silenceCmd) Help() string {
	return `Keeps people from being told of alerts for a time; the alerts go on. Without matchers it lists the silences.

Examples:

    tidings silence alertname=stuck_job name=report --for 2h -m "the search is down"
    tidings silence
    tidings silence --end 0193c1f0-…`
}

// Run makes, ends or lists silences.
func (s *silenceCmd) Run(ctx context.Context, e *env) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	switch {
	case s.End != "" && len(s.Match) > 0:
		return errors.New("--end ends a silence, and matchers make one; give one of them")
	case s.End != "":
		return c.EndSilence(ctx, s.End)
	case len(s.Match) == 0:
		return listSilences(ctx, c, e.out)
	}
	made, err := c.AddSilence(ctx, client.Silence{Matchers: s.Match, EndsAt: time.Now().Add(s.For), Comment: s.Comment, CreatedBy: first2(s.By, userName())})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%s until %s\n", made.ID, made.EndsAt.Local().Format(time.DateTime))
	return err
}

func listSilences(ctx context.Context, c *client.Client, out io.Writer) error {
	list, err := c.Silences(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSTATE\tENDS\tBY\tMATCHERS\tCOMMENT")
	for _, s := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.State, s.EndsAt.Local().Format(time.DateTime), oneLine(s.CreatedBy, 30), oneLine(fmt.Sprint(s.Matchers), 80), oneLine(s.Comment, 60))
	}
	return table.Flush()
}

// userName is who runs the program, if that is known.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
