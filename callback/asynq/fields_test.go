package asynq_test

import (
	"encoding/json"
	"testing"

	"tidings"
)

// eventFields are those that tests ask for.
type eventFields struct {
	Task       string `json:"task"`
	TaskID     string `json:"task_id"`
	Queue      string `json:"queue"`
	Worker     string `json:"worker"`
	Attempt    int    `json:"attempt"`
	Delivery   int    `json:"delivery"`
	MaxRetry   int    `json:"max_retry"`
	Error      string `json:"error"`
	Kind       string `json:"kind"`
	Reason     string `json:"reason"`
	ETA        string `json:"eta"`
	Result     any    `json:"result"`
	Reconciled bool   `json:"reconciled"`
}

func fields(t testing.TB, e tidings.Event) (f eventFields) {
	t.Helper()
	if err := json.Unmarshal(e.Data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}
