package e2e

import (
	"os/exec"
	"syscall"
)

// dieWithTest has the kernel end the process when the test's own is gone.
func dieWithTest(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
