//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package tidings

import (
	"errors"
	"os"
)

// errSpoolInUse says that a running handler holds the spool file.
var errSpoolInUse = errors.New("the spool file is in use")

// lockFile can't lock a file here. To append what a running handler has spooled
// twice is harmless; that its file may go away under it is not, so on this
// system a spool folder belongs to one process.
func lockFile(*os.File) error { return nil }
