package monitor

import (
	"tidings"
)

// Measures are what is counted of a stretch of time in one [Scope]. Durations
// are milliseconds of the store's clock.
type Measures struct {
	Created   int64 `json:"created,omitempty"` // jobs seen for the first time
	Started   int64 `json:"started,omitempty"` // jobs that left the status queued for the first time
	Completed int64 `json:"completed,omitempty"`
	Failed    int64 `json:"failed,omitempty"`
	Cancelled int64 `json:"cancelled,omitempty"`
	Retried   int64 `json:"retried,omitempty"` // task_retried
	Events    int64 `json:"events,omitempty"`
	Errors    int64 `json:"errors,omitempty"`  // occurrences in error groups
	Dropped   int64 `json:"dropped,omitempty"` // events that publishers say they dropped

	// Jobs that ended so and went on after all; of totals only.
	CompletedBack int64 `json:"completed_back,omitempty"`
	FailedBack    int64 `json:"failed_back,omitempty"`

	ToolCalls   int64              `json:"tool_calls,omitempty"` // that ended
	ToolErrors  int64              `json:"tool_errors,omitempty"`
	ModelCalls  int64              `json:"model_calls,omitempty"` // that ended
	ModelErrors int64              `json:"model_errors,omitempty"`
	Tokens      tidings.Usage      `json:"tokens,omitzero"`
	Cost        map[string]float64 `json:"cost,omitempty"` // by currency

	Duration *Sketch `json:"duration,omitempty"` // of jobs, from their start to their end
	Wait     *Sketch `json:"wait,omitempty"`     // of jobs, from their creation to their start
	Tool     *Sketch `json:"tool,omitempty"`     // of tool calls
	Model    *Sketch `json:"model,omitempty"`    // of model calls
	TTFT     *Sketch `json:"ttft,omitempty"`     // of model calls, to the first token
	Lag      *Sketch `json:"lag,omitempty"`      // from an event's timestamp to its ID
}

// Ended is how many jobs came to an end.
func (m *Measures) Ended() int64 { return m.Completed + m.Failed + m.Cancelled }

// add adds what other has.
func (m *Measures) add(other *Measures) {
	m.Created += other.Created
	m.Started += other.Started
	m.Completed += other.Completed
	m.Failed += other.Failed
	m.Cancelled += other.Cancelled
	m.CompletedBack += other.CompletedBack
	m.FailedBack += other.FailedBack
	m.Retried += other.Retried
	m.Events += other.Events
	m.Errors += other.Errors
	m.Dropped += other.Dropped
	m.ToolCalls += other.ToolCalls
	m.ToolErrors += other.ToolErrors
	m.ModelCalls += other.ModelCalls
	m.ModelErrors += other.ModelErrors
	m.Tokens.Add(other.Tokens)
	for currency, amount := range other.Cost {
		m.addCost(currency, amount)
	}
	mergeInto(&m.Duration, other.Duration)
	mergeInto(&m.Wait, other.Wait)
	mergeInto(&m.Tool, other.Tool)
	mergeInto(&m.Model, other.Model)
	mergeInto(&m.TTFT, other.TTFT)
	mergeInto(&m.Lag, other.Lag)
}

const maxCurrencies = 8

func (m *Measures) addCost(currency string, amount float64) { addCost(&m.Cost, currency, amount) }

func addCost(to *map[string]float64, currency string, amount float64) {
	if *to == nil {
		*to = map[string]float64{}
	}
	if _, known := (*to)[currency]; !known && len(*to) >= maxCurrencies {
		currency = Other
	}
	(*to)[currency] += amount
}

func mergeInto(to **Sketch, from *Sketch) {
	if from == nil {
		return
	}
	if *to == nil {
		*to = &Sketch{}
	}
	(*to).Merge(from)
}

func observe(to **Sketch, ms int64) { observeBin(to, binOf(float64(ms))) }

func observeBin(to **Sketch, bin int16) {
	if *to == nil {
		*to = &Sketch{}
	}
	(*to).add(bin, 1)
}
