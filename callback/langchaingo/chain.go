package langchaingo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tmc/langchaingo/callbacks"
	"github.com/tmc/langchaingo/chains"

	"tidings"
)

// Call is chains.Call as a run of the job: it tells of the chain, and the
// context that the chain gets holds the job and the run, so that wrapped
// models, tools and chains in it appear beneath, and ends when the job is asked
// to stop. It does not end the job: call it within [tidings.Handler.Run], or
// give the job the option Automatic. A nil job runs unobserved.
func Call(ctx context.Context, job *tidings.Handler, chain chains.Chain, inputs map[string]any, options ...chains.ChainCallOption) (map[string]any, error) {
	if job == nil {
		return chains.Call(ctx, chain, inputs, options...)
	}
	ctx, cancel := job.Join(ctx)
	defer cancel()
	return chains.Call(WithJob(ctx, job), WrapChain(chain, ""), inputs, options...)
}

// WrapChain gives a chain that tells of its calls if their context holds a job.
// Use it for the chains within a sequence, and with chains.Run, Predict and
// Apply. An empty name is that of the chain's type.
//
// A [Handler] that the chain has is left out, since it would tell of the call
// once more; other callbacks of the chain are called as before.
func WrapChain(chain chains.Chain, name string) chains.Chain {
	if chain == nil {
		return nil
	}
	if _, wrapped := chain.(*observedChain); wrapped {
		return chain
	}
	c := &observedChain{Chain: chain, name: name, kind: "chain"}
	typeName := fmt.Sprintf("%T", chain)
	if typeName == "*agents.Executor" {
		c.kind = "agent"
	}
	if name == "" {
		c.name = typeName[strings.LastIndexByte(typeName, '.')+1:]
	}
	return c
}

type observedChain struct {
	chains.Chain
	name, kind string
}

// GetCallbackHandler gives the chain's callbacks without ours.
func (c *observedChain) GetCallbackHandler() callbacks.Handler {
	if h, ok := c.Chain.(callbacks.HandlerHaver); ok {
		return without(h.GetCallbackHandler())
	}
	return nil
}

// without takes our handlers out of h.
func without(h callbacks.Handler) callbacks.Handler {
	switch h := h.(type) {
	case *Handler:
		return nil
	case callbacks.CombiningHandler:
		others := make([]callbacks.Handler, 0, len(h.Callbacks))
		for _, one := range h.Callbacks {
			if one = without(one); one != nil {
				others = append(others, one)
			}
		}
		return callbacks.CombiningHandler{Callbacks: others}
	}
	return h
}

// errGoexit is how a call ends that stops its goroutine, as a test's FailNow does.
var errGoexit = errors.New("the goroutine was ended before the call returned")

// Call runs the chain as a run of the job.
func (c *observedChain) Call(ctx context.Context, inputs map[string]any, options ...chains.ChainCallOption) (outputs map[string]any, err error) {
	s, ctx := storyOf(ctx)
	if s == nil {
		return c.Chain.Call(ctx, inputs, options...)
	}
	inner, run := s.job.PhaseWith(s.around(ctx), tidings.RunInfo{Name: c.name, Kind: c.kind, Input: inputs})
	inner = within(inner, false)
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		failure := panicked(p)
		s.leave(inner, failure)
		run.End(failure)
		if p != nil {
			panic(p)
		}
	}()
	outputs, err = c.Chain.Call(inner, inputs, options...)
	returned = true
	s.leave(inner, err)
	if err == nil {
		run.Output(outputs)
	}
	run.End(err)
	return outputs, err
}

func panicked(p any) error {
	if p == nil {
		return errGoexit
	}
	return &tidings.PanicError{Value: p}
}
