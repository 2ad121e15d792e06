package redislog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidings"
	"tidings/wire"
)

// mirrorBytes bounds the messages that one script publishes.
const mirrorBytes = 1 << 20

// mirror publishes the feed until ctx, the term, ends.
func (b *Bridge) mirror(ctx context.Context, endTerm func(), term int64, cursor string) {
	setDefault(&cursor, tidings.FeedLatest)
	for {
		err := b.mirrorFrom(ctx, term, &cursor)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errTermOver):
			endTerm()
			return
		}
		b.log.Warn("bridge: mirroring the feed failed and is tried again", "error", err)
		if !wait(ctx, nil, time.Second) {
			return
		}
	}
}

// mirrorFrom publishes from a cursor on, and moves it.
func (b *Bridge) mirrorFrom(ctx context.Context, term int64, cursor *string) error {
	feed, err := b.s.Feed(ctx, *cursor)
	if err != nil {
		return err
	}
	defer feed.Close() // it holds nothing to be saved
	for {
		changes, err := feed.Next(ctx)
		var gap *tidings.GapError
		if errors.As(err, &gap) {
			b.log.Warn("bridge: the feed no longer holds all that is to be mirrored; some events are not published", "error", err)
			continue
		}
		if err != nil {
			return err
		}
		if err := b.publish(ctx, term, changes, cursor); err != nil {
			return err
		}
	}
}

// publish publishes changes in parts, each in one step with its cursor.
func (b *Bridge) publish(ctx context.Context, term int64, changes []tidings.Change, cursor *string) error {
	for len(changes) > 0 {
		n, size := 0, 0
		var messages []string
		for n < len(changes) && size < mirrorBytes {
			c := &changes[n]
			n++
			if c.Deleted || (b.opts.In && b.backlog.echo(&c.Event)) {
				continue
			}
			text := appendMirrored(nil, &c.Event)
			size += len(text)
			messages = append(messages, b.channel.of(c.Event.JobID), string(text))
		}
		next := changes[n-1].Cursor
		if err := b.publishPart(ctx, term, next, messages); err != nil {
			return err
		}
		b.mirrored.Add(int64(len(messages) / 2))
		*cursor = next
		changes = changes[n:]
	}
	return nil
}

func (b *Bridge) publishPart(ctx context.Context, term int64, cursor string, messages []string) error {
	args := append([]string{fmt.Sprint(term), cursor}, messages...)
	done, err := retryForever(ctx, func() (int64, error) {
		callCtx, cancel := b.s.call(ctx)
		defer cancel()
		done, err := bridgeMirrorScript.run(callCtx, b.s.client, []string{b.s.keys.bridge()}, args).AsInt64()
		if err != nil {
			return 0, b.s.unavailable("publishing", err)
		}
		return done, nil
	})
	if err == nil && done == 0 {
		err = errTermOver
	}
	return err
}

// appendMirrored appends an event in the format before streams, and the mark by
// which a bridge knows it again.
func appendMirrored(dst []byte, e *tidings.Event) []byte {
	dst = wire.AppendMessage(dst, e)
	dst = append(dst[:len(dst)-1], `,"`+markField+`":"`...)
	dst = e.ID.Append(dst)
	return append(dst, `"}`...)
}
