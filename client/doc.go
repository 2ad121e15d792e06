// Package client speaks to a Tidings server over HTTP.
//
// A [Client] is a [tidings.Appender] and a [tidings.Reader]: code that writes to
// a store or reads from one works over the network unchanged, and gets the same
// typed errors.
//
//	c, err := client.New("http://127.0.0.1:8080", nil)
//	…
//	f, err := c.Follow(ctx, "job-42", tidings.Cursor{})
//	for {
//		events, err := f.Next(ctx)
//		if errors.Is(err, io.EOF) {
//			break // the job has ended
//		}
//		…
//	}
//
// Following resumes by itself: a connection that breaks, or that gives no sign
// of life, is opened again after the last event received, so that every event is
// given once and in order.
//
// Appends are sent once. A caller that wants to repeat one whose fate is not
// known ([tidings.ErrUnavailable]) gives it a [tidings.Producer] first, and sends
// the same batch with the same sequence again.
package client
