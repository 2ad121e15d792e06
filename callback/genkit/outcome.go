package tidingsgenkit

import (
	"errors"

	"tidings"
)

// errNotReturned stands for the error of a call that has not returned.
var errNotReturned = errors.New("the call ended its goroutine without returning")

// outcome is the error that a run ends with, of a call that may have panicked.
func outcome(err error, panicked any) error {
	if panicked != nil {
		return &tidings.PanicError{Value: panicked}
	}
	return err
}

// goOn lets a panic go on that was only looked at.
func goOn(_ error, panicked any) {
	if panicked != nil {
		panic(panicked)
	}
}
