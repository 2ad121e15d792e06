package client_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"tidings"
	"tidings/client"
	"tidings/httpapi"
	"tidings/logtest"
	"tidings/pebblelog"
)

// remote is a store at the other end of a client: what a client can't do is done
// at the store itself.
type remote struct {
	*client.Client
	store *pebblelog.Store
}

func (r *remote) Delete(ctx context.Context, jobID string) error { return r.Client.Delete(ctx, jobID) }
func (r *remote) Feed(ctx context.Context, after string) (tidings.Feed, error) {
	return r.Client.Feed(ctx, after)
}
func (r *remote) Health(ctx context.Context) tidings.Health { return r.store.Health(ctx) }
func (r *remote) Stats() tidings.Stats                      { return r.store.Stats() }
func (r *remote) Close() error                              { return r.store.Close() }

// A client keeps every promise that a store keeps.
func TestClientKeepsThePromisesOfAStore(t *testing.T) {
	logtest.Run(t, logtest.Harness{
		Open: func(t *testing.T, o logtest.Options) tidings.Store {
			store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Retention: o.Retention})
			if err != nil {
				t.Fatal(err)
			}
			c := serve(t, store)
			return &remote{Client: c, store: store}
		},
		Retain: func(ctx context.Context, s tidings.Store) error {
			return s.(*remote).store.Retain(ctx)
		},
		Skip: map[string]string{
			"store/stats": "the server reads more than it is asked to: it looks a job up before it answers",
			"store/close": "closing a server's store is not closing a client",
		},
	})
}

// serve puts a server in front of the store and gives a client of it.
func serve(t *testing.T, store tidings.Store) *client.Client {
	t.Helper()
	api := httpapi.New(store, &httpapi.Options{
		Logger: slog.New(slog.DiscardHandler),
		Retry:  10 * time.Millisecond,
		Limits: httpapi.Limits{EventBytes: 2 << 20}, // a store takes more than a server does by default
	})
	server := httptest.NewServer(api)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := api.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		server.Close()
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	c, err := client.New(server.URL, &client.Options{MinBackoff: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
