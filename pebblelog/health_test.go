package pebblelog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tidings"
)

// With too little space on the disk appends are refused, before a write could
// fail half-way; deleting is still possible; and all is well when there is space.
func TestFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 31})
	o := onMem(fs)
	o.MinFreeBytes = 100 << 20
	s := open(t, "data", o)
	appendTo(t, s, "job", notes(0, 1)...)
	if h := s.Health(t.Context()); !h.Ready || len(h.Warnings) != 0 || h.Store != "pebble" {
		t.Errorf("health: %+v; want ready", h)
	}

	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 99 << 20, TotalBytes: 1 << 31})
	s.lookAtDisk()
	_, err := s.Append(t.Context(), "job", tidings.Batch{Events: notes(1, 1)})
	if !errors.Is(err, tidings.ErrUnavailable) || !strings.Contains(err.Error(), "make space") {
		t.Errorf("append to a full disk: %v; want ErrUnavailable that says what to do", err)
	}
	if h := s.Health(t.Context()); h.Ready || !strings.Contains(h.Error, "99 MiB left") {
		t.Errorf("health: %+v; want not ready", h)
	}
	if err := s.Delete(t.Context(), "job"); err != nil {
		t.Errorf("delete: %v", err)
	}

	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 1 << 31})
	s.lookAtDisk()
	appendTo(t, s, "job", notes(2, 1)...)
	if h := s.Health(t.Context()); !h.Ready {
		t.Errorf("health: %+v; want ready", h)
	}
}

// What Pebble tells of is warned of, for as long as it is news.
func TestHealthWarns(t *testing.T) {
	s := openMem(t)
	l := s.state.listener()
	warnings := func() string { return strings.Join(s.Health(t.Context()).Warnings, "\n") }
	tell := func(word string, tell func()) {
		t.Helper()
		if strings.Contains(warnings(), word) {
			t.Errorf("warned of %q before it happened", word)
		}
		tell()
		if !strings.Contains(warnings(), word) {
			t.Errorf("not warned of %q: %s", word, warnings())
		}
	}
	tell("catch up", func() { l.WriteStallBegin(pebble.WriteStallBeginInfo{Reason: "memtable"}) })
	l.WriteStallEnd()
	if strings.Contains(warnings(), "catch up") {
		t.Error("still warned of a stall that is over")
	}
	tell("tables failed", func() { l.BackgroundError(fmt.Errorf("no space")) })
	tell("disk is slow", func() { l.DiskSlow(vfs.DiskSlowInfo{Path: "x", Duration: time.Minute}) })
	tell("filling up", func() { l.LowDiskSpace(pebble.LowDiskSpaceInfo{AvailBytes: 1, TotalBytes: 100, PercentThreshold: 1}) })
	tell("backup", func() { l.DataCorruption(pebble.DataCorruptionInfo{Path: "1.sst", Details: fmt.Errorf("bad")}) })
	if !s.Health(t.Context()).Ready {
		t.Error("a store that warns is not ready")
	}
	s.state.slow.at = time.Now().Add(-2 * recent)
	if strings.Contains(warnings(), "disk is slow") {
		t.Error("still warned of what is long past")
	}
}
