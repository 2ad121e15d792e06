package redislog

import (
	"context"
	"tidings"
)

type indexer struct{}

func newIndexer(s *Store) *indexer { return &indexer{} }
func (i *indexer) run()            {}
func (i *indexer) finish()         {}
func (i *indexer) appended(jobID, inc string, prev tidings.ID, events []tidings.Event) {
}

type feedWaker struct{}

func newFeedWaker() *feedWaker { return &feedWaker{} }
func (s *Store) pollFeeds()    {}
func (s *Store) care()         {}
func (s *Store) Health(ctx context.Context) tidings.Health {
	return tidings.Health{}
}
func (s *Store) Delete(ctx context.Context, jobID string) error             { return nil }
func (s *Store) Feed(ctx context.Context, after string) (tidings.Feed, error) { return nil, nil }
func (s *Store) Heartbeat(ctx context.Context, jobID string, l tidings.Lease) error {
	return nil
}
func (s *Store) Job(ctx context.Context, jobID string) (tidings.Job, error) {
	return tidings.Job{}, nil
}
func (s *Store) Jobs(ctx context.Context, q tidings.JobsQuery) (tidings.JobsPage, error) {
	return tidings.JobsPage{}, nil
}
