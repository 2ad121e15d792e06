package tidingsgenkit

import (
	"context"
	"errors"

	"github.com/firebase/genkit/go/core"
)

// storedError is a flow's error on its way through a log: the text and the
// status are kept, by which Genkit's handlers answer.
type storedError struct {
	text   string
	status core.StatusName
	cause  error // of the writer's; nil at a reader's
}

// toStore is the error as its job ends with it.
func toStore(err error) error {
	if err == nil {
		err = errors.New("unknown error")
	}
	e := &storedError{text: errorText(err), status: core.INTERNAL, cause: err}
	var public *core.UserFacingError
	var internal *core.GenkitError
	switch {
	case errors.As(err, &public):
		e.status = public.Status
	case errors.As(err, &internal):
		e.status = internal.Status
	case errors.Is(err, context.Canceled):
		e.status = core.CANCELLED
	}
	return e
}

// Error is the text that the flow's error had.
func (e *storedError) Error() string { return e.text }

// ErrorKind is how the event names it.
func (e *storedError) ErrorKind() string { return string(e.status) }

// Unwrap gives the writer the error itself, and a reader one of Genkit's, for
// the status.
func (e *storedError) Unwrap() error {
	if e.cause != nil {
		return e.cause
	}
	return core.NewPublicError(e.status, e.text, nil)
}

func errorText(err error) (text string) {
	defer func() { _ = recover() }()
	return err.Error()
}

func errExists() error { return core.NewPublicError(core.ALREADY_EXISTS, "stream already exists", nil) }

func errNotFound() error { return core.NewPublicError(core.NOT_FOUND, "stream not found", nil) }

// unavailable says that the store fails; Genkit's handlers answer 503.
func unavailable(err error) error {
	return core.NewError(core.UNAVAILABLE, "the store of streams: %v", err)
}
