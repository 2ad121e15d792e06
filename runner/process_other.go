//go:build !unix

package runner

import (
	"os"
	"os/exec"
)

// Where there are no signals but the one that kills, that is the one to send.
var terminate = os.Kill

var passedOn = []os.Signal{os.Interrupt}

func inGroupOfItsOwn(*exec.Cmd) (giveBack func()) { return func() {} }

func signalGroup(cmd *exec.Cmd, s os.Signal) {
	if s == os.Kill {
		_ = cmd.Process.Kill() // it may have ended already
	}
}

func exitCode(state *os.ProcessState) int { return state.ExitCode() }
