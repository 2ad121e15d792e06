package client

import (
	"context"
	"errors"
	"io"

	"tidings"
)

// AwaitCancel waits until the job is asked to stop and returns nil, or until
// the log ends ([io.EOF]) or ctx does, and returns the reason. It hears of the
// request as it happens, over one connection that carries nothing else. A job
// that does not exist yet, and a server that is away, are waited for.
func (c *Client) AwaitCancel(ctx context.Context, jobID string) error {
	for {
		after, asked, err := c.cancelState(ctx, jobID)
		if asked || err != nil {
			return err
		}
		err = c.awaitCancel(ctx, jobID, after)
		var rewound *tidings.RewoundError
		var gap *tidings.GapError
		if !errors.As(err, &rewound) && !errors.As(err, &gap) && !errors.Is(err, tidings.ErrUnknownJob) {
			return err
		}
		// What was trimmed, or is another log now, may hold the request: look
		// again.
		if err := sleep(ctx, c.opts.MinBackoff); err != nil {
			return err
		}
	}
}

// cancelState looks at what happened until now, so that only what comes has to
// be followed.
func (c *Client) cancelState(ctx context.Context, jobID string) (after tidings.Cursor, asked bool, err error) {
	pause := c.backoff
	for {
		job, err := c.Job(ctx, jobID)
		switch {
		case errors.Is(err, tidings.ErrUnknownJob):
			return tidings.Cursor{}, false, nil
		case err == nil && job.Cancel != nil:
			return tidings.Cursor{}, true, nil
		case err == nil && job.Closed:
			return tidings.Cursor{}, false, io.EOF
		case err == nil:
			return tidings.Cursor{ID: job.LastID, Incarnation: job.Incarnation}, false, nil
		case !errors.Is(err, tidings.ErrUnavailable):
			return tidings.Cursor{}, false, err
		}
		var busy *busyError
		floor := c.opts.MinBackoff
		if errors.As(err, &busy) {
			floor = busy.after
		}
		if err := sleep(ctx, pause.next(floor)); err != nil {
			return tidings.Cursor{}, false, err
		}
	}
}

func (c *Client) awaitCancel(ctx context.Context, jobID string, after tidings.Cursor) error {
	f, err := c.FollowWith(ctx, jobID, FollowOptions{After: after, Types: []string{tidings.TypeCancelRequested}, WaitForJob: true})
	if err != nil {
		return err
	}
	defer f.Close() // always nil
	_, err = f.Next(ctx)
	return err
}
