package alert

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"tidings/monitor"
)

// FileError is what is wrong at a place of a rules file.
type FileError struct {
	Path         string
	Line, Column int
	Reason       string
}

func (e *FileError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Column, e.Reason)
}

// maxFile bounds a rules file, and maxRules the rules.
const (
	maxFile  = 1 << 20
	maxRules = 200
)

// ParseConfig reads a rules file. The error joins a [*FileError] for each thing
// that is wrong.
func ParseConfig(path string, text []byte) (*Config, error) {
	p := &parser{path: path}
	if len(text) > maxFile {
		return nil, &FileError{path, 1, 1, fmt.Sprintf("the file has over %d bytes", maxFile)}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, p.syntax(err)
	}
	c := DefaultConfig()
	if len(doc.Content) > 0 {
		p.config(doc.Content[0], c)
	}
	p.crossCheck(c)
	slices.SortStableFunc(p.errs, func(a, b *FileError) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	var errs []error
	for _, err := range p.errs {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// parser reads YAML nodes and collects what is wrong.
type parser struct {
	path string
	errs []*FileError
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, &FileError{p.path, n.Line, n.Column, fmt.Sprintf(format, args...)})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func (p *parser) syntax(err error) error {
	line := 1
	if said := yamlLine.FindStringSubmatch(err.Error()); said != nil && said[1] != "" {
		line, _ = strconv.Atoi(said[1])
	}
	return &FileError{p.path, line, 1, "this is no YAML: " + yamlLine.ReplaceAllString(err.Error(), "")}
}

// fields reads a mapping by a function for each key.
func (p *parser) fields(n *yaml.Node, of map[string]func(*yaml.Node)) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		p.fail(n, "a mapping is expected here, with %s", keys(of))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read := of[key.Value]
		switch {
		case read == nil:
			p.fail(key, "%q is not known here; there is %s", key.Value, keys(of))
		case seen[key.Value]:
			p.fail(key, "%q is given twice", key.Value)
		default:
			read(resolved(value))
		}
		seen[key.Value] = true
	}
}

func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func keys[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

func (p *parser) items(n *yaml.Node, what string, read func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		p.fail(n, "a list of %s is expected here", what)
		return
	}
	for _, item := range n.Content {
		read(resolved(item))
	}
}

func (p *parser) text(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode {
			p.fail(n, "a text is expected here")
			return
		}
		*to = n.Value
	}
}

func (p *parser) oneOf(to *string, allowed ...string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || !slices.Contains(allowed, n.Value) {
			p.fail(n, "%q is none of %s", n.Value, strings.Join(allowed, ", "))
			return
		}
		*to = n.Value
	}
}

func (p *parser) flag(to *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Tag != "!!bool" {
			p.fail(n, "true or false is expected here")
			return
		}
		*to = n.Value == "true"
	}
}

func (p *parser) duration(to *time.Duration, low, high time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		d, err := parseDuration(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || d < low || d > high {
			p.fail(n, "%q is no duration from %s to %s, such as 90s, 15m or 2d", n.Value, low, high)
			return
		}
		*to = d
	}
}

// parseDuration takes days and weeks besides what Go does.
func parseDuration(s string) (time.Duration, error) {
	for unit, d := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if number, ok := strings.CutSuffix(s, unit); ok {
			n, err := strconv.ParseFloat(number, 64)
			return time.Duration(n * float64(d)), err
		}
	}
	return time.ParseDuration(s)
}

func (p *parser) number(n *yaml.Node, to *float64) {
	v, err := strconv.ParseFloat(n.Value, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 || v > 1e15 {
		p.fail(n, "%q is no number of 0 or more", n.Value)
		return
	}
	*to = v
}

func (p *parser) list(to *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		list := []string{}
		p.items(n, "texts", func(item *yaml.Node) {
			var s string
			p.text(&s)(item)
			list = append(list, s)
		})
		*to = list
	}
}

func (p *parser) matchers(to *Matchers) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode {
			p.matcher(n, to)
			return
		}
		p.items(n, "matchers such as name=\"report\"", func(item *yaml.Node) { p.matcher(item, to) })
	}
}

func (p *parser) matcher(n *yaml.Node, to *Matchers) {
	m, err := ParseMatcher(n.Value)
	if err != nil {
		p.fail(n, "%v", err)
		return
	}
	*to = append(*to, m)
}

const maxLabels = 32

func (p *parser) labels(to *map[string]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			p.fail(n, "a mapping of labels to values is expected here")
			return
		}
		out := map[string]string{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], resolved(n.Content[i+1])
			switch {
			case key.Value == "" || labelName(key.Value) != key.Value || key.Value[0] >= '0' && key.Value[0] <= '9':
				p.fail(key, "%q is no name of a label; letters, digits and _ are", key.Value)
			case slices.Contains([]string{"alertname", "severity"}, key.Value):
				p.fail(key, "the label %q follows from the rule", key.Value)
			case value.Kind != yaml.ScalarNode || len(value.Value) > 500:
				p.fail(value, "a text of up to 500 bytes is expected here")
			default:
				out[key.Value] = value.Value
			}
		}
		if len(out) > maxLabels {
			p.fail(n, "there are over %d labels", maxLabels)
		}
		*to = out
	}
}

// config reads the whole file.
func (p *parser) config(n *yaml.Node, c *Config) {
	rules := []*yaml.Node{}
	builtins := true
	ownInhibit := false
	p.fields(n, map[string]func(*yaml.Node){
		"builtin":   p.flag(&builtins),
		"every":     p.duration(&c.Every, time.Second, 10*time.Minute),
		"rules":     func(n *yaml.Node) { p.items(n, "rules", func(r *yaml.Node) { rules = append(rules, r) }) },
		"receivers": func(n *yaml.Node) { p.items(n, "receivers", func(r *yaml.Node) { p.receiver(r, c) }) },
		"route":     func(n *yaml.Node) { p.route(n, &c.Route, 0) },
		"inhibit": func(n *yaml.Node) {
			ownInhibit = true
			p.items(n, "inhibitions", func(r *yaml.Node) { p.inhibition(r, c) })
		},
		"allow_private": func(n *yaml.Node) { p.networks(n, &c.AllowPrivate) },
	})
	if ownInhibit {
		c.Inhibit = c.Inhibit[len(defaultInhibit()):]
	}
	if !builtins {
		c.Rules = nil
	}
	if len(rules) > maxRules {
		p.fail(rules[maxRules], "there are over %d rules", maxRules)
		rules = rules[:maxRules]
	}
	seen := map[string]bool{}
	for _, r := range rules {
		p.rule(r, c, seen)
	}
}

func (p *parser) networks(n *yaml.Node, to *[]string) {
	p.items(n, "networks", func(item *yaml.Node) {
		if _, err := netip.ParsePrefix(item.Value); err != nil && item.Value != "all" {
			p.fail(item, "%q is no network such as 10.0.0.0/8, nor all", item.Value)
			return
		}
		*to = append(*to, item.Value)
	})
}

func (p *parser) inhibition(n *yaml.Node, c *Config) {
	var i Inhibition
	p.fields(n, map[string]func(*yaml.Node){"source": p.matchers(&i.Source), "target": p.matchers(&i.Target), "equal": p.list(&i.Equal)})
	if len(i.Source) == 0 || len(i.Target) == 0 {
		p.fail(n, "an inhibition needs source and target, matchers of the alert that hides and of those that it hides")
		return
	}
	c.Inhibit = append(c.Inhibit, i)
}

const maxRouteDepth = 5

func (p *parser) route(n *yaml.Node, to *Route, depth int) {
	if depth > maxRouteDepth {
		p.fail(n, "routes lie over %d deep", maxRouteDepth)
		return
	}
	parent := *to
	to.Routes = nil
	var routes *yaml.Node
	p.fields(n, map[string]func(*yaml.Node){
		"match": p.matchers(&to.Match), "receivers": p.list(&to.Receivers), "group_by": p.list(&to.GroupBy),
		"group_wait":      p.duration(&to.GroupWait, 0, time.Hour),
		"group_interval":  p.duration(&to.GroupInterval, time.Second, 24*time.Hour),
		"repeat_interval": p.duration(&to.RepeatInterval, time.Minute, 30*24*time.Hour),
		"continue":        p.flag(&to.Continue),
		"routes":          func(n *yaml.Node) { routes = n },
	})
	if depth > 0 && len(to.Match) == len(parent.Match) {
		p.fail(n, "a route beneath another needs match")
	}
	if routes == nil {
		return
	}
	p.items(routes, "routes", func(item *yaml.Node) {
		child := *to
		child.Match, child.Routes, child.Continue = nil, nil, false
		p.route(item, &child, depth+1)
		to.Routes = append(to.Routes, child)
	})
}

func (p *parser) receiver(n *yaml.Node, c *Config) {
	r := Receiver{Line: n.Line, MaxAlerts: 50}
	max := float64(r.MaxAlerts)
	of := map[string]func(*yaml.Node){
		"name":          p.text(&r.Name),
		"send_resolved": func(n *yaml.Node) { send := true; p.flag(&send)(n); r.NoResolved = !send },
		"max_alerts":    func(n *yaml.Node) { p.number(n, &max) },
	}
	for _, kind := range ReceiverTypes {
		of[kind] = func(n *yaml.Node) {
			if r.Type != "" {
				p.fail(n, "a receiver has one type, and this one is %s already", r.Type)
			}
			r.Type, r.Settings = kind, n
		}
	}
	p.fields(n, of)
	r.MaxAlerts = int(min(max, 1000))
	if r.Type == TypeAlertmanager {
		r.Resend, r.MaxAlerts = time.Minute, 1000
	}
	switch {
	case r.Name == "":
		p.fail(n, "a receiver needs a name")
	case r.Type == "":
		p.fail(n, "a receiver needs one of %s", strings.Join(ReceiverTypes, ", "))
	case slices.ContainsFunc(c.Receivers, func(o Receiver) bool { return o.Name == r.Name }):
		p.fail(n, "there are two receivers %q", r.Name)
	case r.MaxAlerts < 1:
		p.fail(n, "max_alerts must be 1 or more")
	default:
		c.Receivers = append(c.Receivers, r)
	}
}

// Types of receivers.
const (
	TypeWebhook      = "webhook"
	TypeSlack        = "slack"
	TypeAlertmanager = "alertmanager"
	TypeEmail        = "email"
)

// ReceiverTypes lists them.
var ReceiverTypes = []string{TypeWebhook, TypeSlack, TypeAlertmanager, TypeEmail}

// crossCheck: what is named is there. Without receivers in the route, all are
// told.
func (p *parser) crossCheck(c *Config) {
	var names []string
	for _, r := range c.Receivers {
		names = append(names, r.Name)
	}
	if c.Route.Receivers == nil {
		c.Route.Receivers = names
		inherit(&c.Route)
	}
	p.knownReceivers(&c.Route, names)
}

func inherit(r *Route) {
	for i := range r.Routes {
		if r.Routes[i].Receivers == nil {
			r.Routes[i].Receivers = r.Receivers
		}
		inherit(&r.Routes[i])
	}
}

func (p *parser) knownReceivers(r *Route, names []string) {
	for _, name := range r.Receivers {
		if !slices.Contains(names, name) {
			p.errs = append(p.errs, &FileError{p.path, 1, 1, fmt.Sprintf("the route names the receiver %q, which there is not", name)})
		}
	}
	for i := range r.Routes {
		p.knownReceivers(&r.Routes[i], names)
	}
}

var byKinds = []string{monitor.ByAll, monitor.ByName, monitor.ByLabel, monitor.ByTool, monitor.ByModel}
