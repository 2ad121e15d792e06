package redislog

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"tidings"
	"tidings/internal/redistest"
	"tidings/logtest"
)

func TestConformanceOnOneServer(t *testing.T) {
	t.Parallel()
	logtest.Run(t, harness(redistest.Server(t).URL()))
}

func TestConformanceOnACluster(t *testing.T) {
	t.Parallel()
	logtest.Run(t, harness(redistest.Cluster(t).URL()))
}

// harness opens every store under a prefix of its own on the same servers.
func harness(url string) logtest.Harness {
	var mu sync.Mutex
	options := map[tidings.Store]Options{}
	reopen := func(t *testing.T, opts Options) tidings.Store {
		s := open(t, url, func(o *Options) { o.Prefix, o.Retention, o.RetentionInterval = opts.Prefix, opts.Retention, -1 })
		mu.Lock()
		options[s] = opts
		mu.Unlock()
		return s
	}
	var stores atomic.Int64
	return logtest.Harness{
		Open: func(t *testing.T, o logtest.Options) tidings.Store {
			return reopen(t, Options{Prefix: fmt.Sprintf("test%d:", stores.Add(1)), Retention: o.Retention})
		},
		Reopen: func(t *testing.T, s tidings.Store) tidings.Store {
			_ = s.Close() // the case may have closed it
			mu.Lock()
			opts := options[s]
			mu.Unlock()
			return reopen(t, opts)
		},
		Retain: func(ctx context.Context, s tidings.Store) error { return s.(*Store).Retain(ctx) },
	}
}
