package eino

import (
	"errors"

	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/compose"
)

// point is one place where input is waited for.
type point struct {
	// InterruptID is what compose.ResumeWithData or adk.ResumeParams take.
	InterruptID string `json:"interrupt_id,omitempty"`
	Address     string `json:"address,omitempty"`
	Info        any    `json:"info,omitempty"` // what the agent says of it
}

// points is what a whole graph waits for.
type points struct {
	Before     []string `json:"before,omitempty"` // nodes that it stopped before
	After      []string `json:"after,omitempty"`
	Interrupts []point  `json:"interrupts,omitempty"`
}

// interruption gives what an error waits for that is an interrupt, which Eino
// reports as one.
func interruption(err error) (value any, ok bool) {
	if err == nil {
		return nil, false
	}
	if info, ok := compose.ExtractInterruptInfo(err); ok {
		return graphPoints(info), true
	}
	if signal, ok := errors.AsType[*adk.InterruptSignal](err); ok {
		return oneOrAll(points{Interrupts: signalPoints(signal, nil)}), true
	}
	if info, ok := compose.IsInterruptRerunError(err); ok {
		return point{Info: info}, true
	}
	return nil, false
}

func graphPoints(info *compose.InterruptInfo) any {
	if info == nil {
		return points{}
	}
	return oneOrAll(points{Before: info.BeforeNodes, After: info.AfterNodes, Interrupts: contextPoints(info.InterruptContexts)})
}

// oneOrAll is a single point as it is.
func oneOrAll(p points) any {
	if len(p.Interrupts) == 1 && len(p.Before)+len(p.After) == 0 {
		return p.Interrupts[0]
	}
	return p
}

// contextPoints gives the places that asked, without the graphs around them.
func contextPoints(contexts []*compose.InterruptCtx) []point {
	var all []point
	for _, c := range contexts {
		if c != nil {
			all = append(all, point{InterruptID: c.ID, Address: c.Address.String(), Info: c.Info})
		}
	}
	return all
}

func signalPoints(s *adk.InterruptSignal, all []point) []point {
	if len(s.Subs) == 0 {
		return append(all, point{InterruptID: s.ID, Address: s.Address.String(), Info: s.Info})
	}
	for _, sub := range s.Subs {
		all = signalPoints(sub, all)
	}
	return all
}
