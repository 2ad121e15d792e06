package pebblelog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tidings"
)

// snapshot is a job as it stood after some group of changes. A snapshot that
// readers can see is never changed.
type snapshot struct {
	job       tidings.Job // without LeaseUntil, which is not durable
	number    uint64
	trimmedTo tidings.ID // the last event trimmed away; zero: none
	trimmed   int64      // how many events were trimmed away
	bytes     int64      // data of the events still held
	leaseTTL  time.Duration
}

func (s *snapshot) held() int64 { return s.job.Events - s.trimmed }

func (s *snapshot) created() created {
	return created{micros: s.job.CreatedAt.UnixMicro(), number: s.number}
}

// ended reports whether the job is over, as far as one can tell now.
func (s *snapshot) ended() bool { return s.job.Status.Ended() }

const recordVersion = 1

// appendRecord appends the job's record:
//
//	version (1)
//	uvarint number, trimmedTo.Ms, trimmedTo.Seq, trimmed, bytes, leaseTTL in ns
//	the job as JSON
//
// JSON, so that a field that a later version adds to the summary needs no new
// format.
func (s *snapshot) appendRecord(dst *bytes.Buffer) error {
	var head [1 + 6*binary.MaxVarintLen64]byte
	b := append(head[:0], recordVersion)
	for _, n := range [...]uint64{s.number, s.trimmedTo.Ms, s.trimmedTo.Seq, uint64(s.trimmed), uint64(s.bytes), uint64(s.leaseTTL)} {
		b = binary.AppendUvarint(b, n)
	}
	dst.Write(b)
	enc := json.NewEncoder(dst)
	enc.SetEscapeHTML(false) // metadata must stay as it was given
	return enc.Encode(&s.job)
}

var errRecord = errors.New("malformed job record")

func parseRecord(value []byte) (*snapshot, error) {
	if len(value) == 0 || value[0] != recordVersion {
		return nil, errRecord
	}
	rest := value[1:]
	var n [6]uint64
	for i := range n {
		v, w := binary.Uvarint(rest)
		if w <= 0 {
			return nil, errRecord
		}
		n[i], rest = v, rest[w:]
	}
	s := &snapshot{
		number:    n[0],
		trimmedTo: tidings.ID{Ms: n[1], Seq: n[2]},
		trimmed:   int64(n[3]),
		bytes:     int64(n[4]),
		leaseTTL:  time.Duration(n[5]),
	}
	if err := json.Unmarshal(rest, &s.job); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	return s, nil
}

// An entry of the feed points at the events of one batch, or says that a job was
// deleted. It stands under the ID of the last of the events:
//
//	kind
//	uvarint changes ever written to the feed, up to and with these
//	uvarint job number
//	uvarint milliseconds from the first event to the last, sequence of the first
//	job ID
type feedEntry struct {
	kind   byte
	count  uint64
	number uint64
	first  tidings.ID
	last   tidings.ID // in the key
	jobID  []byte
}

const (
	feedEvents  = 1
	feedDeleted = 2
)

func (f *feedEntry) appendTo(dst []byte) []byte {
	dst = append(dst, f.kind)
	for _, n := range [...]uint64{f.count, f.number, f.last.Ms - f.first.Ms, f.first.Seq} {
		dst = binary.AppendUvarint(dst, n)
	}
	return append(dst, f.jobID...)
}

var errFeedEntry = errors.New("malformed feed entry")

// parseFeedEntry reads an entry; the job ID is part of value.
func parseFeedEntry(last tidings.ID, value []byte) (feedEntry, error) {
	if len(value) == 0 || value[0] < feedEvents || value[0] > feedDeleted {
		return feedEntry{}, errFeedEntry
	}
	rest := value[1:]
	var n [4]uint64
	for i := range n {
		v, w := binary.Uvarint(rest)
		if w <= 0 {
			return feedEntry{}, errFeedEntry
		}
		n[i], rest = v, rest[w:]
	}
	return feedEntry{
		kind: value[0], count: n[0], number: n[1], jobID: rest,
		first: tidings.ID{Ms: last.Ms - n[2], Seq: n[3]}, last: last,
	}, nil
}

func appendProducerState(dst []byte, p tidings.ProducerState, used uint64) []byte {
	dst = binary.AppendUvarint(dst, uint64(p.Epoch))
	dst = binary.AppendUvarint(dst, uint64(p.Seq))
	return binary.AppendUvarint(dst, used)
}

var errProducerState = errors.New("malformed producer state")

func parseProducerState(value []byte) (p tidings.ProducerState, used uint64, err error) {
	var n [3]uint64
	for i := range n {
		v, w := binary.Uvarint(value)
		if w <= 0 {
			return p, 0, errProducerState
		}
		n[i], value = v, value[w:]
	}
	return tidings.ProducerState{Epoch: int64(n[0]), Seq: int64(n[1])}, n[2], nil
}
