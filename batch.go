package tidings

import (
	"sync"
)

// batch is what one append writes. Its number never changes.
type batch struct {
	number  int64
	events  []Event
	bytes   int64 // in the queue; 0 once they are freed
	spooled bool
}

// mapping turns a batch's number into what the store counts by. They differ
// once a store lost its memory of the producer, or a batch had to be split.
type mapping struct {
	mu       sync.Mutex
	producer Producer // Seq: of the batch with number zero, may be negative
}

func (m *mapping) of(number int64) Producer {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.producer
	p.Seq += number
	return p
}

// set makes number the sequence seq of the epoch.
func (m *mapping) set(number, epoch, seq int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.producer.Epoch, m.producer.Seq = epoch, seq-number
}

// event writes what waited in the queue as an event.
func (it *item) event() Event {
	e := Event{Type: it.eventType, Time: it.at, Data: it.data}
	switch {
	case it.stream != nil:
		e.Data = it.stream.deltaData(it.channel, string(it.data))
	case it.loss != nil:
		e.Data = it.loss.data()
	}
	return e
}

// data is the report of a loss, as an event of type custom.
func (l *loss) data() []byte {
	o := newObject(128).str("name", "tidings.dropped")
	o = append(o.key("value"), '{').integer("events", l.events).integer("bytes", l.bytes)
	o = o.str("since", l.since.UTC().Format("2006-01-02T15:04:05.000000Z"))
	return append(o, '}').end()
}

// deltaData is the data of a delta.
func (m *ModelRun) deltaData(channel, text string) []byte {
	f := field{name: "delta", text: text, isText: true}
	if h := m.run.h; h.opts.Redact != nil {
		f = field{name: "delta", json: h.redacted(TypeThought, "delta", appendString(nil, text))}
	}
	o := newObject(f.room()+m.run.placed+len(m.messageID)+96).str("status", "delta").str("channel", channel)
	return m.run.addPlace(f.add(o).str("message_id", m.messageID)).end()
}
