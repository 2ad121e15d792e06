//go:build !linux

package main

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
)

// Elsewhere than on Linux there is no /proc: throughput and latency are
// measured, processor time and memory are shown as zero.

func dieWithParent() *syscall.SysProcAttr { return nil }

func (p *process) cpu() time.Duration { return 0 }

func (p *process) rss() int64 { return 0 }

func raiseFileLimit() {}

func machine() string {
	return fmt.Sprintf("%s/%s, %d cores shared by client and server, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}
