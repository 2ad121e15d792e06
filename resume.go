package tidings

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// SpoolReport says what [ResumeSpool] found.
type SpoolReport struct {
	Files   int   // whose events are all in the store now
	Events  int64 // appended, also those that were there before
	Refused int   // files put aside: the job has ended, or was taken over
	InUse   int   // files that a running handler holds
}

// ResumeSpool appends what handlers of this machine left in the folder when
// they ended while the store was away; a service does so when it starts. It
// retries until ctx ends. Appending again what had got through is harmless. A
// file whose events the store refuses for good is renamed, with the suffix
// ".refused", and one that is damaged in the middle with ".damaged". A folder that does not exist is empty.
func ResumeSpool(ctx context.Context, dir string, to Appender) (SpoolReport, error) {
	var report SpoolReport
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return report, nil
	}
	if err != nil {
		return report, err
	}
	var errs []error
	for _, entry := range entries {
		if entry.IsDir() || !strings.HasSuffix(entry.Name(), spoolSuffix) {
			continue
		}
		n, err := resend(ctx, filepath.Join(dir, entry.Name()), to, slog.Default())
		report.Events += n
		switch {
		case err == nil:
			report.Files++
		case ctx.Err() != nil:
			return report, errors.Join(append(errs, context.Cause(ctx))...)
		case errors.Is(err, errSpoolInUse):
			report.InUse++
		case errors.Is(err, errSpoolRefused):
			report.Refused++
		default:
			errs = append(errs, err)
		}
	}
	return report, errors.Join(errs...)
}

var errSpoolRefused = errors.New("the store refuses the spooled events")

// resend appends the batches of a spool file and removes it. It gives the
// number of events appended.
func resend(ctx context.Context, path string, to Appender, log *slog.Logger) (int64, error) {
	sp, c, err := openSpool(path)
	if err != nil {
		return 0, err
	}
	if c.torn > 0 {
		log.Warn("a spool file was not written to its end", "file", path, "bytes_left_out", c.torn)
	}
	s := &sender{to: to, jobID: c.head.JobID, q: newQueue(&HandlerOptions{}), log: log, stop: func(error) {}}
	s.producer = c.origin.producer
	err = s.deliverAll(ctx, sp, c.from)
	sent := s.q.stats.Sent
	switch {
	case err == nil && c.damaged:
		log.Error("a spool file is damaged; what is whole at its beginning was appended and the file put aside", "job", c.head.JobID, "file", path+damagedSuffix, "events", sent)
		return sent, sp.putAside(damagedSuffix)
	case err == nil:
		log.Info("spooled events were appended", "job", c.head.JobID, "events", sent)
		return sent, sp.remove()
	case final == s.judge(err) && !errors.Is(err, ErrStoreClosed):
		log.Warn("spooled events are refused; their file is put aside", "job", c.head.JobID, "file", path+refusedSuffix, "error", err)
		return sent, errors.Join(errSpoolRefused, sp.putAside(refusedSuffix))
	}
	return sent, errors.Join(err, sp.keep())
}

func (s *sender) deliverAll(ctx context.Context, sp *spool, from int64) error {
	for {
		b, err := sp.read()
		if b == nil || err != nil {
			return err
		}
		if b.number < from {
			continue // appended before the store lost track
		}
		if err := s.deliver(ctx, b); err != nil {
			return err
		}
	}
}
