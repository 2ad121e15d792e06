package alert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// fileStatus is how the rules file is doing on this node.
type fileStatus struct {
	Path     string     `json:"path,omitempty"`
	LoadedAt *time.Time `json:"loaded_at,omitempty"`
	// Error says why the file as it is now is not used; empty: it is.
	Error string `json:"error,omitempty"`

	modified time.Time
	size     int64
}

func readFile(path string) (*Config, fileStatus, error) {
	status := fileStatus{Path: path}
	f, err := os.Open(path)
	if err != nil {
		return nil, status, fmt.Errorf("can't read the rules: %w", err)
	}
	defer f.Close() // it was only read from
	if info, err := f.Stat(); err == nil {
		status.modified, status.size = info.ModTime(), info.Size()
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, status, fmt.Errorf("can't read the rules: %w", err)
	}
	config, err := ParseConfig(path, text)
	now := time.Now().UTC()
	status.LoadedAt = &now
	return config, status, err
}

func (e *Engine) makeNotifiers(c *Config) (map[string]Notifier, error) {
	out := map[string]Notifier{}
	var errs []error
	for i := range c.Receivers {
		r := &c.Receivers[i]
		if e.opts.Notifier == nil {
			return nil, errors.New("receivers can't be told: no notifiers were given")
		}
		n, err := e.opts.Notifier(r, c)
		if err != nil {
			errs = append(errs, fmt.Errorf("receiver %q in line %d: %w", r.Name, r.Line, err))
			continue
		}
		out[r.Name] = n
	}
	return out, errors.Join(errs...)
}

// Reload reads the rules file again. If it is wrong, the rules stay as they are,
// and the error says what is wrong; the API shows it too.
func (e *Engine) Reload() error {
	if e.opts.File == "" {
		return nil
	}
	config, status, err := readFile(e.opts.File)
	var notifiers map[string]Notifier
	if err == nil {
		notifiers, err = e.makeNotifiers(config)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.viewDirty.Store(true)
	if err != nil {
		status.Error, status.LoadedAt = err.Error(), e.file.LoadedAt
		e.file = status
		e.log.Error("alerts: the rules file is wrong; the rules stay as they were", "file", e.opts.File, "error", err)
		return err
	}
	e.config, e.notifiers, e.file = config, notifiers, status
	e.full = time.Time{} // at the next tick
	e.log.Info("alerts: rules were loaded", "file", e.opts.File, "rules", len(config.Rules))
	return nil
}

// changedFile reports whether the file is another one than was read last, and was
// so at the look before: while it is being written it may be empty, which would
// be good rules, or end anywhere.
func (e *Engine) changedFile() bool {
	if e.opts.File == "" {
		return false
	}
	info, err := os.Stat(e.opts.File)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		return e.file.size >= 0 && e.setMissing()
	}
	was := e.seen
	e.seen = fileStatus{modified: info.ModTime(), size: info.Size()}
	if e.seen.same(&e.file) {
		return false
	}
	return e.seen.same(&was)
}

// same reports whether two looks saw the same file.
func (s *fileStatus) same(other *fileStatus) bool {
	return s.modified.Equal(other.modified) && s.size == other.size
}

// setMissing has a file that is gone told once.
func (e *Engine) setMissing() bool {
	missing := e.file.size == -1
	e.file.size, e.file.modified = -1, time.Time{}
	return !missing
}

const (
	tendEvery    = 2 * time.Second
	outsideEvery = 10 * time.Second
	tendTimeout  = 5 * time.Second
)

// tend looks after what comes from elsewhere, until Stop: the rules file,
// silences, queues and the store's health, and what the other nodes show.
func (e *Engine) tend() {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	var asked time.Time
	for {
		if e.changedFile() {
			_ = e.Reload() // it is logged, and shown
		}
		e.readSilences()
		if time.Since(asked) >= outsideEvery && e.opts.Outside != nil {
			asked = time.Now()
			e.askOutside()
		}
		e.exchangeView()
		select {
		case <-tick.C:
		case <-e.ctx.Done():
			return
		}
	}
}

func (e *Engine) readSilences() {
	ctx, cancel := context.WithTimeout(e.ctx, tendTimeout)
	defer cancel()
	list, _, err := readSilences(ctx, e.opts.State)
	if err != nil {
		return // those that are known hold on
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.silences = list
}

func (e *Engine) askOutside() {
	ctx, cancel := context.WithTimeout(e.ctx, tendTimeout)
	defer cancel()
	outside := e.opts.Outside(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outside = outside
}
