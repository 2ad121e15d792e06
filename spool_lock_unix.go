//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package tidings

import (
	"errors"
	"os"
	"syscall"
)

// errSpoolInUse says that a running handler holds the spool file.
var errSpoolInUse = errors.New("the spool file is in use")

// lockFile takes the file for this handler until it is closed.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errSpoolInUse
	}
	return err
}
