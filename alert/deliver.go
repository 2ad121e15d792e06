package alert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Notice is what a receiver is told: alerts of one group.
type Notice struct {
	// ID is the same each time that the notice is sent, so that a receiver can drop
	// repeats.
	ID          string
	Receiver    string
	GroupKey    string
	GroupLabels map[string]string
	Reason      string
	Alerts      []Alert // firing and severe ones first
	Truncated   int     // alerts that were left out
	At          time.Time
	// PanelURL is where people look at alerts, without a slash at the end.
	PanelURL string
}

// Firing reports whether any alert fires.
func (n *Notice) Firing() bool {
	for i := range n.Alerts {
		if n.Alerts[i].State == Firing {
			return true
		}
	}
	return false
}

// Link is where people look at an alert.
func (n *Notice) Link(a *Alert) string {
	if a.JobID != "" {
		link := n.PanelURL + "/jobs/" + pathEscape(a.JobID)
		if a.EventID != (tidingsID{}) {
			link += "?event=" + a.EventID.String()
		}
		return link
	}
	return n.PanelURL + "/alerts"
}

// Notifier sends notices to one receiver. Notify is called for one notice at a time; an
// error that is no [*DeliveryError] is tried again.
type Notifier interface {
	Notify(ctx context.Context, n *Notice) error
}

// DeliveryError says why a notice did not get through.
type DeliveryError struct {
	Reason string
	// Permanent says that the same notice need not be tried again.
	Permanent bool
	// RetryAfter is how long the receiver asks to wait; 0: it does not say.
	RetryAfter time.Duration
}

func (e *DeliveryError) Error() string { return e.Reason }

func deliveryError(err error) *DeliveryError {
	if d, ok := errors.AsType[*DeliveryError](err); ok {
		return d
	}
	return &DeliveryError{Reason: err.Error()}
}

const maxRetryAfter = time.Hour

// CheckResponse says whether an answer over HTTP means that the notice got
// through: 2xx does. It is tried again after 408, 429 and 5xx, and not after
// other statuses, redirects among them.
func CheckResponse(resp *http.Response) error {
	if resp.StatusCode/100 == 2 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // what there is of it
	e := &DeliveryError{Reason: strings.TrimSpace(fmt.Sprintf("the receiver answered %s %s", resp.Status, strings.ToValidUTF8(string(text), "")))}
	switch code := resp.StatusCode; {
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500 && code != http.StatusNotImplemented:
		e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"))
	default:
		e.Permanent = true
	}
	return e
}

func retryAfter(text string) time.Duration {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter)
	}
	return 0
}
