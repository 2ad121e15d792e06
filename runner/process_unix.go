//go:build unix

package runner

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"unsafe"

	"golang.org/x/term"
)

const terminate = syscall.SIGTERM

// passedOn are the signals that are the program's business.
var passedOn = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

// inGroupOfItsOwn puts the program into a process group, so that all it starts
// can be stopped with it. If it reads from a terminal, that group becomes the
// foreground: else the first read would stop it. The function that is returned
// makes us the foreground again.
func inGroupOfItsOwn(cmd *exec.Cmd) (giveBack func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	f, ok := cmd.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	// In the child the descriptor is the one that it has for its input.
	cmd.SysProcAttr.Foreground = true
	cmd.SysProcAttr.Ctty = int(f.Fd())
	return func() {
		// Whoever takes the terminal from the background is stopped by SIGTTOU,
		// unless that is ignored.
		signal.Ignore(syscall.SIGTTOU)
		defer signal.Reset(syscall.SIGTTOU)
		group := int32(syscall.Getpgrp())
		_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCSPGRP, uintptr(unsafe.Pointer(&group))) // the shell takes it if we can't
	}
}

// signalGroup sends the signal to the program and what it started.
func signalGroup(cmd *exec.Cmd, s os.Signal) {
	if n, ok := s.(syscall.Signal); ok {
		_ = syscall.Kill(-cmd.Process.Pid, n) // it may have ended already
	}
}

// exitCode is the code that a shell would show.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
