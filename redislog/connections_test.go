package redislog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
)

// A node holds the same connections whatever is followed and however often.
func TestConnectionsDoNotGrowWithFollowers(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	const jobs, each = 200, 10
	for n := range jobs {
		mustAppend(t, s, fmt.Sprintf("job-%d", n), note(0))
	}
	eventually(t, "the announcements' connection is up", func() bool { return s.live.deaf() == 0 })
	before := connections(r)
	for n := range jobs {
		for range each {
			take(t, mustFollow(t, s, fmt.Sprintf("job-%d", n), tidings.Cursor{}), 1)
		}
	}
	for n := range jobs {
		mustAppend(t, s, fmt.Sprintf("job-%d", n), note(1))
	}
	if after := connections(r); after != before {
		t.Errorf("%d connections with %d followers, %d without", after, jobs*each, before)
	}
	t.Logf("%d connections", before)
}

// connections counts those of Tidings.
func connections(r *redistest.Redis) int {
	return strings.Count(r.CLI("CLIENT", "LIST"), "name=tidings")
}

// A connection that breaks is made anew, and what came meanwhile is read.
func TestBrokenAnnouncementsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL(), func(o *Options) { o.pollEvery, o.identityEvery = time.Hour, time.Hour })
	mustAppend(t, s, "job", note(0))
	f := mustFollow(t, s, "job", tidings.Cursor{})
	take(t, f, 1)
	eventually(t, "it is subscribed", func() bool { return strings.HasSuffix(r.CLI("PUBSUB", "SHARDNUMSUB", "{job_events:job}:live"), "1") })
	r.CLI("CLIENT", "KILL", "TYPE", "pubsub")
	mustAppend(t, s, "job", note(1))
	if e := take(t, f, 1)[0]; number(&e) != 1 {
		t.Errorf("event %s", e.Data)
	}
}

// A connection that hears nothing any more, without an error, is noticed: it
// does not even hear itself.
func TestDeafConnectionIsNoticed(t *testing.T) {
	t.Parallel()
	s := open(t, redistest.Server(t).URL(), func(o *Options) { o.probeEvery = 10 * time.Millisecond })
	eventually(t, "the announcements' connection is up", func() bool { return s.live.deaf() == 0 })
	s.live.mu.Lock()
	sub := s.live.subs[""]
	s.live.mu.Unlock()
	up := sub.heard.Load()
	eventually(t, "it hears its own probes", func() bool { return sub.heard.Load() > up })

	lost := newSubscriber(s.live, "")
	lost.heard.Store(1) // long ago, and nothing since
	if err := lost.prove(s.client); err != errDeaf {
		t.Errorf("a connection that hears nothing: %v; want errDeaf", err)
	}
}
