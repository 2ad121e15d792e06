package celery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"tidings"
)

// rabbitBroker is Celery's AMQP transport. It has one connection, which is made
// again when it breaks, and a channel for each thing that it does.
type rabbitBroker struct {
	url    string
	log    *slog.Logger
	living func() int // how many workers are alive

	mu     sync.Mutex
	conn   *amqp.Connection
	lease  *amqp.Channel   // on which the lease is held
	queues map[string]bool // of which was heard
}

// Exchanges and queues, as kombu declares them.
const (
	eventExchange = "celeryev"
	leaseQueue    = "tidings.celery.lease"
)

func newRabbitBroker(url string, log *slog.Logger, living func() int) (*rabbitBroker, error) {
	if _, err := amqp.ParseURI(url); err != nil {
		return nil, &tidings.InvalidError{Field: "celery broker", Reason: "must be a URL such as amqp://guest:guest@localhost:5672//"}
	}
	return &rabbitBroker{url: url, log: log, living: living, queues: map[string]bool{defaultQueue: true}}, nil
}

func (r *rabbitBroker) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		_ = r.conn.Close()
	}
}

// channel opens a channel on the connection, which it makes if there is none.
func (r *rabbitBroker) channel() (*amqp.Channel, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn == nil || r.conn.IsClosed() {
		conn, err := amqp.DialConfig(r.url, amqp.Config{Heartbeat: 5 * time.Second, Locale: "en_US",
			Properties: amqp.Table{"connection_name": "tidings-celery"}})
		if err != nil {
			return nil, lost(err)
		}
		r.conn, r.lease = conn, nil
	}
	c, err := r.conn.Channel()
	return c, lost(err)
}

func lost(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: the broker: %w", tidings.ErrUnavailable, err)
}

// with does something on a channel of its own.
func (r *rabbitBroker) with(do func(c *amqp.Channel) error) error {
	c, err := r.channel()
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

func (r *rabbitBroker) listen(ctx context.Context, hear func(message), up, down func()) {
	for ctx.Err() == nil {
		err := r.with(func(c *amqp.Channel) error { return r.consume(ctx, c, hear, up) })
		down()
		if ctx.Err() == nil {
			r.log.Warn("the bridge to Celery hears nothing of RabbitMQ; it tries again", "error", err)
			pause(ctx, time.Second)
		}
	}
}

func (r *rabbitBroker) consume(ctx context.Context, c *amqp.Channel, hear func(message), up func()) error {
	if err := c.ExchangeDeclare(eventExchange, amqp.ExchangeTopic, true, false, false, false, nil); err != nil {
		return lost(err)
	}
	q, err := c.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return lost(err)
	}
	if err := c.QueueBind(q.Name, "#", eventExchange, false, nil); err != nil {
		return lost(err)
	}
	deliveries, err := c.ConsumeWithContext(ctx, q.Name, "", true, true, false, false, nil)
	if err != nil {
		return lost(err)
	}
	up()
	for d := range deliveries {
		body, err := checkBody(d.ContentType, d.Body)
		hear(message{body: body, err: err})
	}
	return lost(amqp.ErrClosed)
}

// send puts the message on the queue, and waits until the broker has it. A queue
// that no worker has declared yet is declared.
func (r *rabbitBroker) send(ctx context.Context, queue string, priority int, m taskMessage) (bool, error) {
	if err := r.need(queue); err != nil {
		return false, err
	}
	body, err := json.Marshal(m.body)
	if err != nil {
		return false, err
	}
	headers, err := tableOf(m.headers)
	if err != nil {
		return false, err
	}
	err = r.publish(ctx, "", queue, amqp.Publishing{
		ContentType: "application/json", ContentEncoding: "utf-8", DeliveryMode: amqp.Persistent,
		Priority: uint8(priority), CorrelationId: m.id, Headers: headers, Body: body,
	})
	return err == nil, err
}

// errNobody says that a message reached no queue.
var errNobody = errors.New("no queue is bound to it")

// publish waits for the broker's confirmation.
func (r *rabbitBroker) publish(ctx context.Context, exchange, key string, p amqp.Publishing) error {
	return r.with(func(c *amqp.Channel) error {
		if err := c.Confirm(false); err != nil {
			return lost(err)
		}
		returned := c.NotifyReturn(make(chan amqp.Return, 1))
		confirmation, err := c.PublishWithDeferredConfirmWithContext(ctx, exchange, key, true, false, p)
		if err != nil {
			return lost(err)
		}
		if ok, err := confirmation.WaitContext(ctx); err != nil || !ok {
			return lost(errors.Join(errors.New("the message was not confirmed"), err))
		}
		select {
		case <-returned:
			return errNobody
		default:
			return nil
		}
	})
}

// need declares the queue if it is not there. Declaring it in another way than
// its workers did would be an error.
func (r *rabbitBroker) need(queue string) error {
	r.mu.Lock()
	r.queues[queue] = true
	r.mu.Unlock()
	err := r.with(func(c *amqp.Channel) error {
		_, err := c.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err
	})
	var missing *amqp.Error
	if !errors.As(err, &missing) || missing.Code != amqp.NotFound {
		return err
	}
	return r.with(func(c *amqp.Channel) error {
		_, err := c.QueueDeclare(queue, true, false, false, false, nil)
		return lost(err)
	})
}

// tableOf makes headers of AMQP from those of a message.
func tableOf(headers map[string]any) (amqp.Table, error) {
	text, err := json.Marshal(headers)
	if err != nil {
		return nil, err
	}
	var plain map[string]any
	if err := json.Unmarshal(text, &plain); err != nil {
		return nil, err
	}
	table, _ := asTable(plain).(amqp.Table)
	return table, table.Validate()
}

func asTable(value any) any {
	switch v := value.(type) {
	case map[string]any:
		table := amqp.Table{}
		for name, member := range v {
			table[name] = asTable(member)
		}
		return table
	case []any:
		for i := range v {
			v[i] = asTable(v[i])
		}
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return value
}

// takeBack is not to be had: AMQP gives no message out of the middle of a queue.
func (r *rabbitBroker) takeBack(context.Context, string, string) (bool, error) { return false, nil }

// unacked gives all of the tasks as long as some queue holds messages. RabbitMQ puts
// what a lost worker had not acknowledged back at once, and does not say what
// it is.
func (r *rabbitBroker) unacked(ctx context.Context, taskIDs map[string]bool) (map[string]bool, error) {
	depths, err := r.depths(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range depths {
		if d.Waiting > 0 {
			return taskIDs, nil
		}
	}
	return nil, nil
}

func (r *rabbitBroker) broadcast(ctx context.Context, c command) (int, error) {
	return r.command(ctx, c, "", "")
}

// command publishes a command. How many workers heard it is how many are alive:
// RabbitMQ says only whether any did.
func (r *rabbitBroker) command(ctx context.Context, c command, ticket, replyTo string) (int, error) {
	body, err := json.Marshal(c.body(ticket, replyTo))
	if err != nil {
		return 0, err
	}
	headers, err := tableOf(c.headers(time.Now()))
	if err != nil {
		return 0, err
	}
	err = r.publish(ctx, pidboxExchange, "", amqp.Publishing{
		ContentType: "application/json", ContentEncoding: "utf-8", DeliveryMode: amqp.Transient, Headers: headers, Body: body,
	})
	var missing *amqp.Error
	switch {
	case errors.Is(err, errNobody), errors.As(err, &missing) && missing.Code == amqp.NotFound:
		return 0, nil
	case err != nil:
		return 0, err
	}
	return max(r.living(), 1), nil
}

func (r *rabbitBroker) ask(ctx context.Context, c command, want int, wait time.Duration) (replies []json.RawMessage, err error) {
	oid, ticket := tidings.NewJobID(), tidings.NewJobID()
	c.expires = wait
	err = r.with(func(ch *amqp.Channel) error {
		if err := ch.ExchangeDeclare(replyExchange, amqp.ExchangeDirect, false, false, false, false, nil); err != nil {
			return lost(err)
		}
		q, err := ch.QueueDeclare(oid+"."+replyExchange, false, true, true, false, nil)
		if err != nil {
			return lost(err)
		}
		if err := ch.QueueBind(q.Name, oid, replyExchange, false, nil); err != nil {
			return lost(err)
		}
		deliveries, err := ch.ConsumeWithContext(ctx, q.Name, "", true, true, false, false, nil)
		if err != nil {
			return lost(err)
		}
		heard, err := r.command(ctx, c, ticket, oid)
		if err != nil || heard == 0 {
			return err
		}
		replies = gather(ctx, deliveries, min(want, heard), wait)
		return nil
	})
	return replies, err
}

func gather(ctx context.Context, deliveries <-chan amqp.Delivery, want int, wait time.Duration) (replies []json.RawMessage) {
	over := time.After(wait)
	for len(replies) < want {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return replies
			}
			if body, err := checkBody(d.ContentType, d.Body); err == nil {
				replies = append(replies, body)
			}
		case <-over:
			return replies
		case <-ctx.Done():
			return replies
		}
	}
	return replies
}

// depths gives the queues of which was heard. What is not acknowledged is for
// RabbitMQ's management to say.
func (r *rabbitBroker) depths(context.Context) ([]tidings.QueueDepth, error) {
	r.mu.Lock()
	names := make([]string, 0, len(r.queues))
	for name := range r.queues {
		names = append(names, name)
	}
	r.mu.Unlock()
	sort.Strings(names)
	var depths []tidings.QueueDepth
	for _, name := range names {
		err := r.with(func(c *amqp.Channel) error {
			q, err := c.QueueDeclarePassive(name, true, false, false, false, nil)
			if err == nil {
				depths = append(depths, tidings.QueueDepth{Name: name, Type: queueType, Waiting: int64(q.Messages)})
			}
			return err
		})
		var missing *amqp.Error
		if err != nil && (!errors.As(err, &missing) || missing.Code != amqp.NotFound) {
			return nil, lost(err)
		}
	}
	return depths, nil
}

// hold holds the lease by a queue that is exclusive to this connection: the
// broker gives it to another as soon as this one is gone.
func (r *rabbitBroker) hold(context.Context, string, time.Duration) (bool, error) {
	r.mu.Lock()
	c := r.lease
	r.mu.Unlock()
	if c == nil || c.IsClosed() {
		var err error
		if c, err = r.channel(); err != nil {
			return false, err
		}
	}
	_, err := c.QueueDeclare(leaseQueue, false, true, true, false, nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil { // the error closes the channel
		r.lease = nil
		var locked *amqp.Error
		if errors.As(err, &locked) && locked.Code == amqp.ResourceLocked {
			return false, nil
		}
		return false, lost(err)
	}
	r.lease = c
	return true, nil
}

func (r *rabbitBroker) release(context.Context, string) {
	_ = r.with(func(c *amqp.Channel) error {
		_, err := c.QueueDelete(leaseQueue, false, false, true)
		return err
	})
}
