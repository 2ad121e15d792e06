package redistest

import "syscall"

// endWithParent makes the kernel kill the child when this process dies, so that
// a test run that panics or times out leaves no server behind.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
