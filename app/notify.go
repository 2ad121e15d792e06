package app

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"time"

	"go.yaml.in/yaml/v3"

	"tidings/alert"
	"tidings/notify/alertmanager"
	"tidings/notify/email"
	"tidings/notify/slack"
	"tidings/notify/webhook"
)

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
	case alert.TypeSlack:
		return s.slack()
	case alert.TypeAlertmanager:
		return s.alertmanager()
	case alert.TypeEmail:
		return s.email()
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
	yamlPlace = regexp.MustCompile(`yaml: unmarshal errors:\n|\s*line \d+: | in type struct \{.*\}`)
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

func (s *settings) slack() (alert.Notifier, error) {
	var opts struct {
		URL      string `yaml:"url"`
		MaxItems int    `yaml:"max_items"`
	}
	if err := s.decode(&opts); err != nil {
		return nil, err
	}
	if err := s.guard.CheckURL(opts.URL); err != nil {
		return nil, err
	}
	return slack.New(slack.Options{URL: opts.URL, MaxItems: opts.MaxItems, Client: s.client})
}

func (s *settings) alertmanager() (alert.Notifier, error) {
	var opts struct {
		URL     string            `yaml:"url"`
		Headers map[string]string `yaml:"headers"`
	}
	if err := s.decode(&opts); err != nil {
		return nil, err
	}
	if err := s.guard.CheckURL(opts.URL); err != nil {
		return nil, err
	}
	return alertmanager.New(alertmanager.Options{URL: opts.URL, Headers: opts.Headers, Client: s.client})
}

func (s *settings) email() (alert.Notifier, error) {
	var opts struct {
		Server   string   `yaml:"server"`
		From     string   `yaml:"from"`
		To       []string `yaml:"to"`
		Username string   `yaml:"username"`
		Password string   `yaml:"password"`
		TLS      string   `yaml:"tls"`
	}
	if err := s.decode(&opts); err != nil {
		return nil, err
	}
	return email.New(email.Options{Server: opts.Server, From: opts.From, To: opts.To, Username: opts.Username, Password: opts.Password, TLS: opts.TLS, Dial: s.guard.Dial})
}
