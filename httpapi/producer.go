package httpapi

import (
	"net/http"
	"strconv"

	"tidings"
)

// The headers of an idempotent producer, as the Durable Streams protocol names
// them (https://github.com/durable-streams/durable-streams/blob/main/PROTOCOL.md).
const (
	headerProducerID    = "Producer-Id"
	headerProducerEpoch = "Producer-Epoch"
	headerProducerSeq   = "Producer-Seq"
)

// parseProducer reads the producer of an append: all three headers or none. A
// heartbeat needs no sequence.
func parseProducer(h http.Header, needSeq bool) (*tidings.Producer, error) {
	id, epoch, seq := h.Get(headerProducerID), h.Get(headerProducerEpoch), h.Get(headerProducerSeq)
	if id == "" && epoch == "" && seq == "" {
		return nil, nil
	}
	if id == "" {
		return nil, &tidings.InvalidError{Field: headerProducerID, Reason: "missing; send Producer-Id, Producer-Epoch and Producer-Seq together, or none"}
	}
	p := &tidings.Producer{ID: id}
	var err error
	if p.Epoch, err = producerNumber(headerProducerEpoch, epoch); err != nil {
		return nil, err
	}
	if seq == "" && !needSeq {
		return p, nil
	}
	p.Seq, err = producerNumber(headerProducerSeq, seq)
	return p, err
}

func producerNumber(name, text string) (int64, error) {
	if text == "" {
		return 0, &tidings.InvalidError{Field: name, Reason: "missing; send Producer-Id, Producer-Epoch and Producer-Seq together, or none"}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > tidings.MaxProducerNumber || text[0] == '+' || text[0] == '-' {
		return 0, &tidings.InvalidError{Field: name, Reason: "must be a whole number from 0 to 2^53-1"}
	}
	return n, nil
}

func setProducer(h http.Header, p *tidings.Producer) {
	if p == nil {
		return
	}
	h.Set(headerProducerEpoch, strconv.FormatInt(p.Epoch, 10))
	h.Set(headerProducerSeq, strconv.FormatInt(p.Seq, 10))
}
