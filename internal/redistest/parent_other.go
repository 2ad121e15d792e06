//go:build !linux

package redistest

import "syscall"

// endWithParent does nothing where the kernel has no such thing: there a killed
// test run leaves its servers behind.
func endWithParent(*syscall.SysProcAttr) {}
