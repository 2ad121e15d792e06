package redislog

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/rueidis"

	"tidings"
)

// hints say what to do about errors that Redis answers with.
var hints = []struct{ prefix, advice string }{
	{"OOM", "; raise maxmemory, set a retention or delete jobs"},
	{"MISCONF", "; Redis can't write to its disk: free space or look at its log"},
	{"READONLY", "; this server is a replica: a failover is under way, or the URL names the wrong server"},
	{"NOREPLICAS", "; fewer replicas are connected than min-replicas-to-write asks for"},
	{"LOADING", "; Redis is loading its data: try again shortly"},
	{"MASTERDOWN", "; a failover is under way: try again shortly"},
	{"CLUSTERDOWN", "; slots of the Cluster are not served: look at CLUSTER INFO"},
	{"TRYAGAIN", "; a slot is on its way to another node: try again shortly"},
	{"BUSY", "; another script blocks Redis"},
	{"NOAUTH", "; the URL needs a password"},
	{"WRONGPASS", "; the URL's user or password is wrong"},
	{"NOPERM", "; the URL's user lacks a permission, see docs/redis.md"},
}

func advice(err error) string {
	reply, ok := rueidis.IsRedisErr(err)
	if !ok {
		return "; is Redis running and reachable?"
	}
	for _, h := range hints {
		if strings.HasPrefix(reply.Error(), h.prefix) {
			return h.advice
		}
	}
	return ""
}

// transient reports whether a read that failed so may succeed when repeated.
func transient(err error) bool {
	var (
		gap     *tidings.GapError
		rewound *tidings.RewoundError
		invalid *tidings.InvalidError
	)
	switch {
	case errors.As(err, &gap), errors.As(err, &rewound), errors.As(err, &invalid),
		errors.Is(err, tidings.ErrUnknownJob), errors.Is(err, tidings.ErrStoreClosed):
		return false
	}
	reply, ok := rueidis.IsRedisErr(err)
	if !ok {
		return true
	}
	for _, prefix := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "NOSCRIPT", "MOVED", "ASK", "UNBLOCKED"} {
		if strings.HasPrefix(reply.Error(), prefix) {
			return true
		}
	}
	return false
}

// wrongType turns the error of a key of another type into one that names the
// key, for which it asks Redis again; nil: it is another error.
func (s *Store) wrongType(ctx context.Context, err error, jobID string) error {
	reply, ok := rueidis.IsRedisErr(err)
	if !ok || !strings.Contains(reply.Error(), "WRONGTYPE") {
		return nil
	}
	stream, meta := s.keys.stream(jobID), s.keys.meta(jobID)
	for _, key := range []struct{ name, want string }{{stream, "stream"}, {meta, "hash"}} {
		is, err := s.do(ctx, s.client.B().Type().Key(key.name).Build()).ToString()
		if err == nil && is != key.want && is != "none" {
			return &tidings.InvalidError{Field: "job_id", Reason: "the Redis key " + key.name + " holds a " + is + "; a " + key.want + " belongs there"}
		}
	}
	return &tidings.InvalidError{Field: "job_id", Reason: "one of the Redis keys " + stream + " (a stream) and " + meta + " (a hash) holds something else"}
}

// errBusy: the log changed under every try to read it.
var errBusy = errors.New("the log changes faster than it can be read")
