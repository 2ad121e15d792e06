package celery

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
)

// puppet stands for a worker on the wire: it says what a test has it say, and
// answers the questions of a bridge from what a test says that it has.
type puppet struct {
	t         testing.TB
	redis     *redistest.Redis
	name      string
	pid       int
	say, hear *redistest.Conn
	saying    sync.Mutex // guards say

	mu     sync.Mutex
	tasks  map[string]string // ID → state, as query_task answers
	silent bool              // says nothing and answers nothing
	quiet  bool              // sends no heartbeats of its own
	asked  int
}

// newPuppet connects a worker that sends heartbeats ten times a second.
func newPuppet(t testing.TB, redis *redistest.Redis, name string, pid int) *puppet {
	t.Helper()
	p := &puppet{t: t, redis: redis, name: name, pid: pid, say: redis.Dial(), hear: redis.Dial(), tasks: map[string]string{}}
	if _, err := p.hear.Do("PSUBSCRIBE", "/0.celery.pidbox"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { p.kill(); <-done })
	go func() { defer close(done); p.answer() }()
	p.event("worker-online", `"freq":0.1,"active":0,"processed":0,"sw_ident":"py-celery"`)
	return p
}

// kill ends its connection, and with it the worker.
func (p *puppet) kill() { _ = p.hear.Close() }

func (p *puppet) has(id, state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tasks[id] = state
}

func (p *puppet) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

func (p *puppet) questions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// event says something, now.
func (p *puppet) event(eventType, members string) {
	p.t.Helper()
	p.eventAt(time.Now(), eventType, members)
}

// eventAt says something that happened at a time.
func (p *puppet) eventAt(at time.Time, eventType, members string) {
	p.t.Helper()
	if members != "" {
		members = "," + members
	}
	p.saying.Lock()
	defer p.saying.Unlock()
	say(p.t, p.say, "application/json", fmt.Sprintf(`{"type":%q,"hostname":%q,"pid":%d,"timestamp":%f%s}`, eventType, p.name, p.pid, float64(at.UnixMicro())/1e6, members))
}

// received and started tell of a task as workers do.
func (p *puppet) received(id string, more string) {
	p.event("task-received", fmt.Sprintf(`"uuid":%q,"name":"app.gen","args":"()","kwargs":"{}"%s`, id, more))
}

func (p *puppet) started(id string) { p.event("task-started", fmt.Sprintf(`"uuid":%q`, id)) }

// answer obeys commands until its connection ends.
func (p *puppet) answer() {
	for {
		got, err := p.hear.Receive(100 * time.Millisecond)
		if err != nil {
			if strings.Contains(err.Error(), "timeout") {
				p.beat()
				continue
			}
			return
		}
		parts, _ := got.([]any)
		if len(parts) != 4 {
			continue
		}
		text, _ := parts[3].(string)
		body, err := openEnvelope([]byte(text))
		if err == nil {
			p.obey(body)
		}
	}
}

func (p *puppet) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.silent && !p.quiet {
		p.event("worker-heartbeat", `"freq":0.1,"active":1,"processed":2`)
	}
}

func (p *puppet) obey(body []byte) {
	var c struct {
		Method  string
		Ticket  string
		ReplyTo struct {
			RoutingKey string `json:"routing_key"`
		} `json:"reply_to"`
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if json.Unmarshal(body, &c) != nil || p.silent {
		return
	}
	if c.Method == "heartbeat" {
		p.event("worker-heartbeat", `"freq":5`)
	}
	if c.ReplyTo.RoutingKey == "" {
		return
	}
	var answer any
	switch c.Method {
	case "query_task":
		p.asked++
		tasks := map[string]any{}
		for id, state := range maps.All(p.tasks) {
			tasks[id] = []any{state, map[string]any{"id": id}}
		}
		answer = map[string]any{p.name: tasks}
	case "active":
		answer = map[string]any{p.name: []any{}}
	default:
		return
	}
	text, err := sealEnvelope(answer, map[string]any{}, properties{DeliveryInfo: &deliveryInfo{Exchange: replyExchange}})
	p.saying.Lock()
	defer p.saying.Unlock()
	if err == nil {
		_, _ = p.say.Do("LPUSH", c.ReplyTo.RoutingKey+"."+replyExchange, string(text))
	}
}

// puppetBridge is a bridge that reconciles several times a second.
func puppetBridge(t *testing.T, opts Options) (*Bridge, *redistest.Redis, tidings.Store) {
	t.Helper()
	a := &app{t: t, redis: redistest.Server(t)}
	store := testStore(t)
	return a.quickBridge(store, opts), a.redis, store
}

func (a *app) quickBridge(store tidings.Store, opts Options) *Bridge {
	a.t.Helper()
	opts.reconcileEvery, opts.quietFor = 100*time.Millisecond, 50*time.Millisecond
	return a.bridge(store, opts)
}

// rounds waits until the worker was asked n times more.
func (p *puppet) rounds(n int) {
	p.t.Helper()
	from := p.questions()
	eventually(p.t, "the worker was asked", func() bool { return p.questions() >= from+n })
}
