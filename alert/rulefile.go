package alert

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"tidings/monitor"
)

var ruleName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$`)

// rule reads one rule. What it does not say is as the detector has it.
func (p *parser) rule(n *yaml.Node, c *Config, seen map[string]bool) {
	failed := len(p.errs)
	r := &Rule{Line: n.Line, By: monitor.ByAll, Window: 15 * time.Minute, NoData: Resolve, OnError: Keep}
	var exprNode, withNode *yaml.Node
	given := map[string]bool{}
	of := map[string]func(*yaml.Node){
		"name": p.text(&r.Name), "detector": p.text(&r.Detector), "disabled": p.flag(&r.Disabled),
		"expr": func(n *yaml.Node) { exprNode = n; p.text(&r.Expr)(n) },
		"with": func(n *yaml.Node) { withNode = n },
		"by":   p.oneOf(&r.By, byKinds...), "window": p.duration(&r.Window, time.Minute, maxWindow),
		"min": func(n *yaml.Node) { p.samples(n, &r.Min) }, "match": p.matchers(&r.Match),
		"for": p.duration(&r.For, 0, 7*24*time.Hour), "keep_firing_for": p.duration(&r.KeepFiringFor, 0, 7*24*time.Hour),
		"severity": p.oneOf(&r.Severity, severities...), "labels": p.labels(&r.Labels), "summary": p.text(&r.Summary),
		"no_data": p.oneOf(&r.NoData, Resolve, Keep, Fire), "on_error": p.oneOf(&r.OnError, Keep, Resolve, Fire),
	}
	for key, read := range of {
		of[key] = func(n *yaml.Node) { given[key] = true; read(n) }
	}
	p.fields(n, of)
	if r.Name == "" || !ruleName.MatchString(r.Name) {
		p.fail(n, "a rule needs a name of letters, digits, _ and -; this one has %q", r.Name)
		return
	}
	if seen[r.Name] {
		p.fail(n, "there are two rules %q", r.Name)
		return
	}
	seen[r.Name] = true
	if r.Expr == "" && r.Detector == "" && detectorOf(r.Name) != nil {
		r.Detector = r.Name
	}
	switch {
	case r.Expr != "" && r.Detector != "":
		p.fail(n, "rule %s has both expr and detector; give one", r.Name)
	case r.Expr != "":
		p.expression(exprNode, withNode, r)
	case r.Detector != "":
		p.detector(n, withNode, r, given)
	default:
		p.fail(n, "rule %s needs expr, or detector with one of %s", r.Name, strings.Join(detectorNames(), ", "))
	}
	if len(p.errs) == failed {
		c.replaceRule(r)
	}
}

func (p *parser) expression(n, with *yaml.Node, r *Rule) {
	if with != nil {
		p.fail(with, "with is for detectors; an expression has none")
	}
	var err error
	if r.expr, err = compile(r.Expr); err == nil {
		return
	}
	at, ok := errors.AsType[*exprError](err)
	if !ok {
		p.fail(n, "%v", err)
		return
	}
	place := FileError{p.path, n.Line, n.Column + at.column, at.message}
	if n.Style == yaml.LiteralStyle || n.Style == yaml.FoldedStyle { // it begins on the next line
		place.Line, place.Column = n.Line+at.line, at.column+1
	} else if n.Style == yaml.DoubleQuotedStyle || n.Style == yaml.SingleQuotedStyle {
		place.Column++
	}
	p.errs = append(p.errs, &place)
}

func (p *parser) detector(n, with *yaml.Node, r *Rule, given map[string]bool) {
	d := detectorOf(r.Detector)
	if d == nil {
		p.fail(n, "%q is no detector; there is %s", r.Detector, strings.Join(detectorNames(), ", "))
		return
	}
	for _, key := range []string{"by", "window", "min", "no_data", "on_error", "summary"} {
		if given[key] {
			p.fail(n, "%s is for expressions; the detector %s has its own under with", key, d.name)
		}
	}
	base := d.builtIn()
	r.detector, r.With = d, base.With
	if !given["for"] {
		r.For = base.For
	}
	if !given["keep_firing_for"] {
		r.KeepFiringFor = base.KeepFiringFor
	}
	if with != nil {
		p.settings(with, r)
	}
	if d.check != nil && !r.Disabled {
		if err := d.check(r); err != nil {
			p.fail(n, "rule %s: %v", r.Name, err)
		}
	}
}

// settings reads those of a detector, each of the type that its default has.
func (p *parser) settings(n *yaml.Node, r *Rule) {
	of := map[string]func(*yaml.Node){}
	for key, def := range r.detector.defaults {
		of[key] = func(n *yaml.Node) {
			switch def.(type) {
			case time.Duration:
				var d time.Duration
				p.duration(&d, 0, 90*24*time.Hour)(n)
				r.With[key] = d
			case float64:
				var v float64
				p.number(n, &v)
				r.With[key] = v
			case []string:
				var list []string
				p.list(&list)(n)
				r.With[key] = list
			case string:
				var s string
				p.text(&s)(n)
				r.With[key] = s
			}
		}
	}
	p.fields(n, of)
}

// samples reads the least values of metrics, below which there is nothing to
// evaluate.
func (p *parser) samples(n *yaml.Node, to *map[string]float64) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "a mapping of metrics to the least value is expected here, such as {ended: 10}")
		return
	}
	out := map[string]float64{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolved(n.Content[i+1])
		if !slices.Contains(monitor.Metrics(), key.Value) {
			p.fail(key, "%q is no metric", key.Value)
			continue
		}
		v := math.NaN()
		p.number(value, &v)
		out[key.Value] = v
	}
	*to = out
}
