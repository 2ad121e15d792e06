package pebblelog

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"tidings"
)

// maxProducers bounds what is remembered of the producers of one job: when one
// more comes, the one that has been silent for longest is forgotten.
const maxProducers = 256

// producers is what is known of a job's producers.
type producers struct {
	states map[string]producerState
}

type producerState struct {
	tidings.ProducerState
	used uint64 // count of the feed at its last append: tells the silent ones
}

// loadProducers reads the producers of a job.
func loadProducers(db *pebble.DB, number uint64) (p *producers, err error) {
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: appendProducerKey(nil, number, ""),
		UpperBound: appendProducerKey(nil, number+1, ""),
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	p = &producers{states: make(map[string]producerState)}
	for it.First(); it.Valid(); it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		state, used, err := parseProducerState(value)
		if err != nil {
			return nil, err
		}
		p.states[string(it.Key()[producerKeyHead:])] = producerState{state, used}
	}
	return p, it.Error()
}

// set remembers a producer's state, and forgets another if there are too many.
func (p *producers) set(b *pebble.Batch, number uint64, producerID string, state producerState) error {
	if _, known := p.states[producerID]; !known && len(p.states) >= maxProducers {
		silent := p.mostSilent()
		delete(p.states, silent)
		if err := b.Delete(appendProducerKey(nil, number, silent), nil); err != nil {
			return err
		}
	}
	p.states[producerID] = state
	return b.Set(appendProducerKey(nil, number, producerID), appendProducerState(nil, state.ProducerState, state.used), nil)
}

func (p *producers) mostSilent() (producerID string) {
	oldest := ^uint64(0)
	for id, s := range p.states {
		if s.used < oldest {
			producerID, oldest = id, s.used
		}
	}
	return producerID
}
