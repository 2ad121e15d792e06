package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"tidings"
	"tidings/wire"
)

// receipt is the answer to an append.
type receipt struct {
	IDs         []tidings.ID `json:"ids"`
	LastID      tidings.ID   `json:"last_id"`
	Incarnation string       `json:"incarnation"`
	Duplicate   bool         `json:"duplicate"`
}

func (r *receipt) public() tidings.Receipt {
	return tidings.Receipt{IDs: r.IDs, LastID: r.LastID, Incarnation: r.Incarnation, Duplicate: r.Duplicate}
}

// Append sends the batch in one request, and returns when the server has it
// durably. It implements [tidings.Appender]; besides the errors named there it
// gives [*AuthError] and [*Problem].
func (c *Client) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	if err := b.Validate(jobID); err != nil {
		return tidings.Receipt{}, err
	}
	var out receipt
	err := c.do(ctx, &request{
		method:   http.MethodPost,
		path:     jobPath(jobID, "events"),
		body:     appendBatch(nil, jobID, b.Events),
		producer: b.Producer,
		jobID:    jobID,
	}, &out)
	return out.public(), err
}

// appendBatch writes the events as the body of an append: one object, or an
// array. A batch goes as JSON rather than as lines because lines are taken in as
// they arrive, and a batch is atomic.
func appendBatch(dst []byte, jobID string, events []tidings.Event) []byte {
	now := time.Now()
	if len(events) != 1 {
		dst = append(dst, '[')
	}
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		e.ID, e.JobID = tidings.ID{}, jobID
		if e.Time.IsZero() {
			e.Time = now
		}
		dst = wire.AppendEvent(dst, &e)
	}
	if len(events) != 1 {
		dst = append(dst, ']')
	}
	return dst
}

// Heartbeat renews the lease of a running job. It implements
// [tidings.Appender].
func (c *Client) Heartbeat(ctx context.Context, jobID string, l tidings.Lease) error {
	if err := tidings.ValidateJobID(jobID); err != nil {
		return err
	}
	body := []byte("{}")
	if l.TTL > 0 {
		body = fmt.Appendf(nil, `{"ttl_ms":%d}`, max(1, l.TTL.Milliseconds()))
	}
	return c.do(ctx, &request{
		method:   http.MethodPost,
		path:     jobPath(jobID, "heartbeat"),
		body:     body,
		producer: l.Producer,
		jobID:    jobID,
	}, nil)
}
