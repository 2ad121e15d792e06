package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"tidings/alert"
	"tidings/monitor"
	"tidings/notify/webhook"
)

// startAlerts reads the rules; the monitor feeds them from then on.
func (a *App) startAlerts(ctx context.Context) error {
	if a.config.NoAlerts {
		return nil
	}
	state, err := a.monitorState()
	if err != nil {
		return err
	}
	panel := a.config.PublicURL
	if panel == "" {
		panel = a.URL()
	}
	a.alerts, err = alert.Start(ctx, alert.Options{State: state, File: a.config.RulesFile, Notifier: makeNotifier, Outside: a.outside, PanelURL: panel, Logger: a.log})
	if err != nil {
		return fmt.Errorf("the alert rules can't be used:\n%w", err)
	}
	return nil
}

// observer is the alerts, if there are any.
func (a *App) observer() monitor.Observer {
	if a.alerts == nil {
		return nil
	}
	return a.alerts
}

// ReloadRules reads the rules file again. If it is wrong, the rules stay as they
// are.
func (a *App) ReloadRules() error {
	if a.alerts == nil {
		return nil
	}
	return a.alerts.Reload()
}

// outside asks the task queues and the store how they are.
func (a *App) outside(ctx context.Context) alert.Outside {
	out := alert.Outside{Known: true, HasQueues: len(a.queues) > 0, Health: a.store.Health(ctx)}
	for _, name := range slices.Sorted(maps.Keys(a.queues)) {
		workers, err := a.queues[name].Workers(ctx)
		depths, depthErr := a.queues[name].Depths(ctx)
		if err = errors.Join(err, depthErr); err != nil {
			out.HasQueues, out.Error = false, err.Error() // half of it would mislead
			break
		}
		out.Workers = append(out.Workers, workers...)
		out.Queues = append(out.Queues, depths...)
	}
	return out
}

// notifyTimeout bounds one attempt to send a notice.
const notifyTimeout = 20 * time.Second

// makeNotifier makes what tells a receiver of a rules file.
func makeNotifier(r *alert.Receiver, c *alert.Config) (alert.Notifier, error) {
	guard, err := alert.NewGuard(c.AllowPrivate)
	if err != nil {
		return nil, err
	}
	s := settings{node: r.Settings, guard: guard, client: guard.Client(notifyTimeout)}
	switch r.Type {
	case alert.TypeWebhook:
		return s.webhook()
	}
	return nil, fmt.Errorf("there is no receiver of the type %q", r.Type)
}

// settings are those of one receiver in a rules file.
type settings struct {
	node   *yaml.Node
	guard  alert.Guard
	client *http.Client
}

// decode reads the settings. ${NAME} in a text stands for an environment variable, so
// that secrets need not stand in the file.
func (s *settings) decode(to any) error {
	expanded, err := expandEnv(s.node)
	if err != nil {
		return err
	}
	raw, err := yaml.Marshal(expanded)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(to); err != nil {
		return errors.New(yamlPlace.ReplaceAllString(err.Error(), ""))
	}
	return nil
}

var (
	envForm = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)
	// yamlPlace is where the YAML package says an error is, which is not where it
	// is in the file, and the Go type.
	yamlPlace = regexp.MustCompile(`yaml: unmarshal errors:\n|line \d+: | in type struct \{.*\}`)
)

func expandEnv(n *yaml.Node) (*yaml.Node, error) {
	out := *n
	var err error
	if n.Kind == yaml.ScalarNode {
		out.Value = envForm.ReplaceAllStringFunc(n.Value, func(form string) string {
			name := envForm.FindStringSubmatch(form)[1]
			value, set := os.LookupEnv(name)
			if !set {
				err = fmt.Errorf("the environment variable %s is not set", name)
			}
			return value
		})
		return &out, err
	}
	out.Content = make([]*yaml.Node, len(n.Content))
	for i := range n.Content {
		if out.Content[i], err = expandEnv(n.Content[i]); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

func (s *settings) webhook() (alert.Notifier, error) {
	var opts struct {
		URL     string            `yaml:"url"`
		Secrets []string          `yaml:"secrets"`
		Format  string            `yaml:"format"`
		Headers map[string]string `yaml:"headers"`
	}
	if err := s.decode(&opts); err != nil {
		return nil, err
	}
	if err := s.guard.CheckURL(opts.URL); err != nil {
		return nil, err
	}
	return webhook.New(webhook.Options{URL: opts.URL, Secrets: opts.Secrets, Format: opts.Format, Headers: opts.Headers, Client: s.client})
}
