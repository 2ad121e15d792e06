package tidingsgenkit

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"github.com/firebase/genkit/go/core/tracing"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"tidings"
)

var install sync.Once

// Install lets the spans of Genkit tell of flows, steps and other actions, once
// in a process. If you set a tracer provider of your own, do that before, or
// register [SpanProcessor] with it.
func Install() {
	install.Do(func() { tracing.TracerProvider().RegisterSpanProcessor(SpanProcessor()) })
}

// SpanProcessor gives what [Install] registers. It looks at the spans of jobs
// only, see [WithJob].
func SpanProcessor() sdktrace.SpanProcessor { return processor{} }

// processor turns spans into runs.
type processor struct{}

// OnStart begins the run of a flow, step or other action.
func (processor) OnStart(ctx context.Context, s sdktrace.ReadWriteSpan) {
	defer guard("span start")
	t := trackedFrom(ctx)
	if t == nil {
		return
	}
	k := keyOf(s.SpanContext())
	kind := value(s.Attributes(), "genkit:type")
	if f := frameFrom(ctx); f != nil && f.has(kind, s.Name()) {
		putSpan(k, &opened{root: f.root, inner: ctx, job: t})
		return
	}
	base, root := around(ctx)
	o := &opened{root: root, inner: base, job: t}
	if kind != "" {
		o.inner, o.run = t.job.PhaseWith(base, tidings.RunInfo{Name: s.Name(), Kind: kindOf(kind, root == nil)})
		if o.root == nil {
			o.root = o.run
		}
	}
	putSpan(k, o)
}

// has reports whether a hook has told of what the span is about.
func (f *frame) has(kind, name string) bool {
	switch f.kind {
	case coversGenerate:
		return kind == "util" && name == "generate"
	case coversModel:
		return kind == "action" && f.taken.CompareAndSwap(false, true)
	case coversTool:
		return kind == "action" && name == f.covers && f.taken.CompareAndSwap(false, true)
	}
	return false
}

// kindOf is a run's kind. Of an action the span's beginning does not tell which
// it is; outermost it nearly always is a flow.
func kindOf(spanType string, outermost bool) string {
	switch {
	case spanType == "flowStep":
		return "step"
	case spanType == "util":
		return "chain"
	case outermost:
		return "flow"
	}
	return spanType
}

// OnEnd ends the run that the span began.
func (processor) OnEnd(s sdktrace.ReadOnlySpan) {
	defer guard("span end")
	o := takeSpan(keyOf(s.SpanContext()))
	if o == nil || o.run == nil {
		return
	}
	attributes := s.Attributes()
	if output := value(attributes, "genkit:output"); output != "" && output != "null" && json.Valid([]byte(output)) {
		o.run.Output(json.RawMessage(output))
	}
	o.run.End(failure(s, attributes))
	if o.run == o.root {
		o.job.rootEnds(o.root)
	}
}

// failure is the error that the span ended with, as a text, or nil.
func failure(s sdktrace.ReadOnlySpan, attributes []attribute.KeyValue) error {
	status := s.Status()
	switch {
	case status.Code != codes.Error && value(attributes, "genkit:state") != "error":
		return nil
	case strings.Contains(status.Description, tidings.ErrInterrupted.Error()):
		return tidings.ErrInterrupted // a span keeps no more of it than its text
	case status.Description != "":
		return errors.New(status.Description)
	}
	return errors.New(s.Name() + " failed")
}

func value(attributes []attribute.KeyValue, name attribute.Key) string {
	for _, a := range attributes {
		if a.Key == name {
			return a.Value.AsString()
		}
	}
	return ""
}

// Shutdown does nothing: jobs are closed by those who started them.
func (processor) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing.
func (processor) ForceFlush(context.Context) error { return nil }
