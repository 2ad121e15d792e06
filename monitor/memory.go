package monitor

import (
	"context"
	"sync"
	"time"
)

// memory is the State of a monitor that was given none.
type memory struct {
	mu   sync.Mutex
	docs map[string]document
}

type document struct {
	data    []byte
	version int64
}

func (s *memory) Hold(context.Context, time.Duration) (int64, error) { return 1, nil }
func (s *memory) Release(context.Context) error                      { return nil }

func (s *memory) Load(_ context.Context, name string) ([]byte, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.docs[name]
	return d.data, d.version, nil
}

func (s *memory) Save(_ context.Context, name string, data []byte, _ int64) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(name, data)
	return true, nil
}

func (s *memory) Swap(_ context.Context, name string, data []byte, version int64) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.docs[name].version != version {
		return false, nil
	}
	s.put(name, data)
	return true, nil
}

func (s *memory) put(name string, data []byte) {
	if s.docs == nil {
		s.docs = map[string]document{}
	}
	s.docs[name] = document{data, s.docs[name].version + 1}
}
