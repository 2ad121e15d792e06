package celery

import (
	"context"
	"encoding/json"
	"time"

	"tidings"
)

// broker is what carries Celery's messages: Redis or RabbitMQ.
type broker interface {
	// listen hears until ctx ends, and reconnects by itself. It calls up
	// whenever it hears again, and down when it has ceased to.
	listen(ctx context.Context, hear func(message), up, down func())
	// send puts a task's message on a queue. sent is false if it did so before.
	send(ctx context.Context, queue string, priority int, m taskMessage) (sent bool, err error)
	// takeBack removes a message that no worker has taken, if it is found.
	takeBack(ctx context.Context, queue, taskID string) (bool, error)
	// unacked gives which of the tasks are with a worker that has not
	// acknowledged them, or back on their queue: they are delivered again.
	unacked(ctx context.Context, taskIDs map[string]bool) (map[string]bool, error)
	// broadcast sends a command to all workers, and gives how many heard it.
	broadcast(ctx context.Context, c command) (int, error)
	// ask sends a command and gathers the workers' replies until want have come
	// or wait is over.
	ask(ctx context.Context, c command, want int, wait time.Duration) ([]json.RawMessage, error)
	depths(ctx context.Context) ([]tidings.QueueDepth, error)
	// hold takes or renews the lease of the bridge for node.
	hold(ctx context.Context, node string, ttl time.Duration) (bool, error)
	release(ctx context.Context, node string)
	close()
}

// message is what a broker hears: the body of an event, or a result.
type message struct {
	body   json.RawMessage // of one event, or of several
	result []byte
	err    error // why it can't be read
}

// backend holds the results of tasks.
type backend interface {
	// results gives those that it has of the tasks.
	results(ctx context.Context, taskIDs []string) ([]result, error)
	close()
}

// command is a remote control command
// (https://docs.celeryq.dev/en/stable/userguide/workers.html#remote-control).
type command struct {
	method    string
	arguments any
	expires   time.Duration // after which a worker does not obey it; zero: never
}

// queryTask asks workers for what they have of the tasks.
func queryTask(ids ...string) command {
	return command{method: "query_task", arguments: map[string]any{"ids": ids}}
}

// body is the command as a worker reads it.
func (c *command) body(ticket, replyTo string) map[string]any {
	m := map[string]any{"method": c.method, "arguments": c.arguments, "destination": nil, "pattern": nil, "matcher": nil}
	if ticket != "" {
		m["ticket"] = ticket
		m["reply_to"] = map[string]string{"exchange": replyExchange, "routing_key": replyTo}
	}
	return m
}

// headers of the command's message.
func (c *command) headers(now time.Time) map[string]any {
	expires := 0.0
	if c.expires > 0 {
		expires = float64(now.Add(c.expires).UnixMilli()) / 1000
	}
	return map[string]any{"clock": 1, "expires": expires}
}

const (
	pidboxExchange = "celery.pidbox"
	replyExchange  = "reply.celery.pidbox"
)
