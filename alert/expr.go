package alert

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"tidings/monitor"
)

// program is a compiled expression.
type program struct {
	holds *vm.Program // gives a bool
	value *vm.Program // what is compared; nil: nothing is
	uses  []string    // names of metrics and of gauges
}

// prefixBefore makes a metric that of the window before.
const prefixBefore = "prev_"

// gauges are numbers of now, not of a window. With "by: name" those of jobs are of the
// name.
var gauges = []string{"queued", "running", "waiting", "cancelling", "stalled", "overdue", "queue_waiting", "workers"}

// maxNodes bounds what one evaluation costs: there are no loops in it, since
// there is nothing to loop over.
const maxNodes = 500

// errDivision is what dividing by zero gives.
var errDivision = errors.New("division by zero")

func divide(params ...any) (any, error) {
	a, b := asFloat(params[0]), asFloat(params[1])
	if b == 0 {
		return nil, errDivision
	}
	return a / b, nil
}

func asFloat(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case int:
		return float64(v)
	}
	return math.NaN()
}

// safely makes of each division a call that refuses zero, and notes which
// metrics are used.
type safely struct{ uses map[string]bool }

// Visit implements [ast.Visitor].
func (s *safely) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if n.Value != "divide" {
			s.uses[n.Value] = true
		}
	case *ast.BinaryNode:
		if n.Operator == "/" || n.Operator == "%" {
			call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: "divide"}, Arguments: []ast.Node{n.Left, n.Right}}
			ast.Patch(node, call)
		}
	}
}

var exprEnv = func() map[string]any {
	env := map[string]any{}
	for _, name := range monitor.Metrics() {
		env[name], env[prefixBefore+name] = 0.0, 0.0
	}
	for _, name := range gauges {
		env[name] = 0.0
	}
	return env
}()

// exprError is what is wrong in an expression, and where in it.
type exprError struct {
	line, column int // from 1, and from 0
	message      string
}

func (e *exprError) Error() string { return e.message }

func compile(text string) (*program, error) {
	holds, uses, err := compileOne(text, expr.AsBool())
	if err != nil {
		return nil, err
	}
	p := &program{holds: holds, uses: uses}
	if compared, ok := holdsSource(text); ok {
		p.value, _, _ = compileOne(compared, expr.AsFloat64()) // without it no value is shown
	}
	return p, nil
}

func compileOne(text string, as expr.Option) (*vm.Program, []string, error) {
	s := &safely{uses: map[string]bool{}}
	p, err := expr.Compile(text, expr.Env(exprEnv), as, expr.MaxNodes(maxNodes), expr.DisableAllBuiltins(), expr.Patch(s),
		expr.EnableBuiltin("abs"), expr.EnableBuiltin("max"), expr.EnableBuiltin("min"), expr.EnableBuiltin("round"),
		expr.Function("divide", divide, new(func(float64, float64) float64), new(func(float64, int) float64), new(func(int, float64) float64), new(func(int, int) float64)))
	var at *file.Error
	if errors.As(err, &at) {
		message := at.Message
		if strings.HasPrefix(message, "unknown name ") {
			message += "; there are the metrics of docs/monitoring.md, as error_rate, with prev_ before them for the window before, and " + strings.Join(gauges, ", ")
		}
		return nil, nil, &exprError{line: at.Line, column: at.Column, message: message}
	}
	if err != nil {
		return nil, nil, &exprError{line: 1, message: err.Error()}
	}
	var uses []string
	for name := range s.uses {
		if _, known := exprEnv[name]; known {
			uses = append(uses, name)
		}
	}
	slices.Sort(uses)
	return p, uses, nil
}

// holdsSource is what stands before the comparison, if the whole is one.
func holdsSource(text string) (string, bool) {
	for _, op := range []string{"&&", "||", " and ", " or ", "?", "not ", "!"} {
		if strings.Contains(strings.ReplaceAll(text, "!=", ""), op) {
			return "", false
		}
	}
	i := strings.IndexAny(text, "<>=!")
	if i < 0 {
		return "", false
	}
	return strings.TrimSpace(text[:i]), true
}

// evaluate finds the scopes of which the expression holds.
func (p *program) evaluate(r *Rule, w *world) (out evaluation) {
	scopes := []monitor.Scope{monitor.All}
	if r.By != monitor.ByAll {
		scopes = w.fold.Scopes(r.By)
	}
	empty := 0
	counts := map[string]monitor.Counts{}
	if r.By == monitor.ByName {
		counts = w.fold.CountsByName()
	}
	for _, scope := range scopes {
		f, holds, known, err := p.of(r, w, scope, counts)
		switch {
		case err != nil:
			if out.err == nil {
				out.err = fmt.Errorf("%s: %w", scopeName(scope), err)
			}
		case !known:
			empty++
		case holds:
			out.findings = append(out.findings, f)
		}
	}
	out.noData = empty == len(scopes)
	return out
}

func (p *program) of(r *Rule, w *world, scope monitor.Scope, counts map[string]monitor.Counts) (f finding, holds, known bool, err error) {
	now := w.fold.Window(scope, w.now.Add(-r.Window), w.now)
	for name, least := range r.Min {
		if v, _ := now.Metric(name); !(v >= least) {
			return f, false, false, nil
		}
	}
	env, known := p.env(r, w, scope, &now, counts[scope.Value])
	if !known {
		return f, false, false, nil
	}
	got, err := expr.Run(p.holds, env)
	if err != nil {
		return f, false, true, cleanError(err)
	}
	if holds, _ = got.(bool); !holds {
		return f, false, true, nil
	}
	f = finding{key: scope.Value, labels: scopeLabels(scope)}
	if p.value != nil {
		if v, err := expr.Run(p.value, env); err == nil {
			f.value = finite(asFloat(v))
		}
	}
	f.summary = fill(r, f)
	return f, true, true, nil
}

// finite drops what JSON can't hold.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// cleanError drops the picture of the expression that the library adds.
func cleanError(err error) error {
	if errors.Is(err, errDivision) {
		return errDivision
	}
	var at *file.Error
	if errors.As(err, &at) {
		return errors.New(at.Message)
	}
	return err
}

// env gives the numbers that the expression uses. known is false if one of them
// is not there: a rate or a quantile of nothing.
func (p *program) env(r *Rule, w *world, scope monitor.Scope, now *monitor.Window, counts monitor.Counts) (env map[string]any, known bool) {
	env = make(map[string]any, len(p.uses))
	var before *monitor.Window
	for _, name := range p.uses {
		var v float64
		metric, isBefore := strings.CutPrefix(name, prefixBefore)
		switch {
		case slices.Contains(gauges, name):
			v = w.gauge(name, scope, counts)
		case isBefore:
			if before == nil {
				window := w.fold.Window(scope, w.now.Add(-2*r.Window), w.now.Add(-r.Window))
				before = &window
			}
			v, _ = before.Metric(metric)
		default:
			v, _ = now.Metric(name)
		}
		if math.IsNaN(v) {
			return nil, false
		}
		env[name] = v
	}
	return env, true
}

func (w *world) gauge(name string, scope monitor.Scope, counts monitor.Counts) float64 {
	byStatus := map[string]int{"queued": w.jobs.Queued, "running": w.jobs.Running, "waiting": w.jobs.Waiting, "cancelling": w.jobs.Cancelling}
	if scope.By == monitor.ByName {
		byStatus = map[string]int{}
		for status, n := range counts {
			byStatus[string(status)] = n
		}
	}
	switch name {
	case "stalled":
		return float64(w.jobs.Stalled)
	case "overdue":
		return float64(w.jobs.Overdue)
	case "workers":
		n := 0
		for i := range w.outside.Workers {
			if w.outside.Workers[i].Alive {
				n++
			}
		}
		return orUnknown(n, w.outside)
	case "queue_waiting":
		n := 0
		for _, q := range w.outside.Queues {
			n += int(q.Waiting)
		}
		return orUnknown(n, w.outside)
	}
	return float64(byStatus[name])
}

func orUnknown(n int, o Outside) float64 {
	if !o.Known || !o.HasQueues {
		return math.NaN()
	}
	return float64(n)
}

func scopeLabels(scope monitor.Scope) map[string]string {
	switch scope.By {
	case monitor.ByAll:
		return map[string]string{}
	case monitor.ByLabel:
		key, value, _ := strings.Cut(scope.Value, "=")
		return map[string]string{"label_" + labelName(key): value}
	}
	return map[string]string{scope.By: scope.Value}
}

func scopeName(scope monitor.Scope) string {
	if scope.By == monitor.ByAll {
		return "all jobs"
	}
	return scope.By + " " + scope.Value
}

// fill makes the summary of what an expression found.
func fill(r *Rule, f finding) string {
	text := r.Summary
	if text == "" {
		text = r.Name + ": " + r.Expr
		for _, v := range sortedLabels(f.labels) {
			text += ", " + v
		}
	}
	value := "?"
	if f.value != nil {
		value = fmt.Sprintf("%.6g", *f.value)
	}
	text = strings.ReplaceAll(text, "{{value}}", value)
	for k, v := range f.labels {
		text = strings.ReplaceAll(text, "{{"+k+"}}", v)
	}
	return clip(text, 1000)
}

func sortedLabels(labels map[string]string) []string {
	var list []string
	for k, v := range labels {
		list = append(list, k+" "+v)
	}
	slices.Sort(list)
	return list
}

// maxWindow is what the monitor keeps half of, for prev_.
const maxWindow = 4 * 24 * time.Hour
