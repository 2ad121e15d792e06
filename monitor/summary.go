package monitor

import (
	"maps"
	"time"

	"tidings"
)

// Summary is a [Window] as the API shows it.
type Summary struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`

	Created   int64    `json:"created"`
	Started   int64    `json:"started"`
	Completed int64    `json:"completed"`
	Failed    int64    `json:"failed"`
	Cancelled int64    `json:"cancelled"`
	Retried   int64    `json:"retried"`
	JobRate   float64  `json:"job_rate"`             // ended a minute
	ErrorRate *float64 `json:"error_rate,omitempty"` // failed of ended

	Events    int64   `json:"events"`
	EventRate float64 `json:"event_rate"` // a second
	Errors    int64   `json:"errors"`
	Dropped   int64   `json:"dropped"`

	Duration Quantiles `json:"duration_ms"`
	Wait     Quantiles `json:"wait_ms"`
	Lag      Quantiles `json:"lag_ms"`

	Tool  Calls `json:"tool"`
	Model Calls `json:"model"`

	TTFT   Quantiles          `json:"ttft_ms"`
	Tokens tidings.Usage      `json:"tokens"`
	Cost   map[string]float64 `json:"cost,omitempty"` // by currency
}

// Calls are the calls of tools or models that ended.
type Calls struct {
	Calls     int64     `json:"calls"`
	Errors    int64     `json:"errors"`
	ErrorRate *float64  `json:"error_rate,omitempty"`
	Duration  Quantiles `json:"duration_ms"`
}

// Summary gives what people look at.
func (w *Window) Summary() Summary {
	minutes := w.To.Sub(w.From).Minutes()
	s := Summary{
		From: w.From, To: w.To,
		Created: w.Created, Started: w.Started, Completed: w.Completed, Failed: w.Failed, Cancelled: w.Cancelled, Retried: w.Retried,
		ErrorRate: rate(w.Failed, w.Ended()),
		Events:    w.Events, Errors: w.Errors, Dropped: w.Dropped,
		Duration: w.Duration.Quantiles(), Wait: w.Wait.Quantiles(), Lag: w.Lag.Quantiles(), TTFT: w.TTFT.Quantiles(),
		Tool:   Calls{w.ToolCalls, w.ToolErrors, rate(w.ToolErrors, w.ToolCalls), w.Tool.Quantiles()},
		Model:  Calls{w.ModelCalls, w.ModelErrors, rate(w.ModelErrors, w.ModelCalls), w.Model.Quantiles()},
		Tokens: w.Tokens, Cost: maps.Clone(w.Cost),
	}
	if minutes > 0 {
		s.JobRate, s.EventRate = round(float64(w.Ended())/minutes), round(float64(w.Events)/minutes/60)
	}
	return s
}

func rate(part, whole int64) *float64 {
	if whole == 0 {
		return nil
	}
	return new(float64(part) / float64(whole))
}
