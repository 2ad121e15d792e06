package alert

import "fmt"

// safely evaluates a rule. One that panics is one that can't be evaluated: it
// must not take the others down.
func (r *Rule) safely(w *world) (e evaluation) {
	defer func() {
		if p := recover(); p != nil {
			e = evaluation{err: fmt.Errorf("the rule panicked: %v", p)}
		}
	}()
	return r.evaluate(w)
}
