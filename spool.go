package tidings

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime"
	"time"
)

// A spool file keeps the batches of one handler that the store could not take
// yet. It only grows, and is removed once everything in it was appended: the
// producer's sequences make it harmless to append a batch again, so nothing
// about progress has to be written.
//
// It is a row of frames: length and CRC-32C of the payload, four bytes each,
// little endian, then the payload, whose first byte says what it is. A frame
// that was not written to its end, as at a crash, ends the file.
//
// What is spooled survives the process at once, and the machine within
// spoolSyncEvery.
type spool struct {
	f      *os.File
	size   int64 // of whole frames
	limit  int64
	readAt int64
	synced time.Time
}

const (
	spoolSuffix    = ".spool"
	refusedSuffix  = ".refused"
	damagedSuffix  = ".damaged"
	spoolFormat    = 1
	spoolSyncEvery = time.Second
	frameHeader    = 8
	maxFrame       = 1 << 30
)

// The kinds of frames.
const (
	frameHead  = 'H' // spoolHead as JSON; the first
	frameMap   = 'M' // a batch number and the epoch and sequence it has, and those after it
	frameBatch = 'B' // a batch: number, count, events
)

// spoolHead says what a file is about.
type spoolHead struct {
	Format     int    `json:"format"`
	JobID      string `json:"job_id"`
	ProducerID string `json:"producer_id"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errSpoolFull = errors.New("the spool file has reached its limit")

// spoolPattern is how files are named: those of one job sort by their epoch, the
// order in which they can be appended.
func spoolPattern(jobID string, p Producer) string {
	return fmt.Sprintf("%s%016d-*%s", spoolPrefix(jobID), p.Epoch, spoolSuffix)
}

func spoolPrefix(jobID string) string {
	sum := sha256.Sum256([]byte(jobID))
	return hex.EncodeToString(sum[:8]) + "-"
}

// createSpool makes the file of a job's producer. origin is the producer of
// the batch with number 0.
func createSpool(dir, jobID string, origin Producer, limit int64) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, spoolPattern(jobID, origin))
	if err != nil {
		return nil, err
	}
	s := &spool{f: f, limit: limit}
	head, _ := json.Marshal(spoolHead{Format: spoolFormat, JobID: jobID, ProducerID: origin.ID}) // can't fail
	err = lockFile(f)
	if err == nil {
		err = s.write(append([]byte{frameHead}, head...))
	}
	if err == nil {
		err = s.renumber(0, origin)
	}
	if err == nil {
		err = errors.Join(f.Sync(), syncDir(dir))
	}
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	s.readAt = s.size
	s.synced = time.Now()
	return s, nil
}

// syncDir makes a new file's name survive the machine, where folders can be
// synced.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// write adds a frame, or nothing.
func (s *spool) write(payload []byte) error {
	if s.limit > 0 && s.size+frameHeader+int64(len(payload)) > s.limit {
		return errSpoolFull
	}
	frame := make([]byte, frameHeader, frameHeader+len(payload))
	binary.LittleEndian.PutUint32(frame, uint32(len(payload)))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(payload, castagnoli))
	if _, err := s.f.WriteAt(append(frame, payload...), s.size); err != nil {
		return errors.Join(err, s.f.Truncate(s.size))
	}
	s.size += frameHeader + int64(len(payload))
	return nil
}

// add writes a batch.
func (s *spool) add(b *batch) error {
	if err := s.write(appendBatch([]byte{frameBatch}, b)); err != nil {
		return err
	}
	if time.Since(s.synced) < spoolSyncEvery {
		return nil
	}
	s.synced = time.Now()
	return s.f.Sync()
}

// renumber notes the producer of the batch with this number. All before it
// were appended.
func (s *spool) renumber(number int64, p Producer) error {
	payload := binary.AppendVarint([]byte{frameMap}, number)
	payload = binary.AppendVarint(payload, p.Epoch)
	return s.write(binary.AppendVarint(payload, p.Seq))
}

// read gives the next batch, or nil at the end.
func (s *spool) read() (*batch, error) {
	for s.readAt < s.size {
		payload, err := s.frame(s.readAt)
		if err != nil {
			return nil, err
		}
		s.readAt += frameHeader + int64(len(payload))
		if payload[0] == frameBatch {
			return parseBatch(payload[1:])
		}
	}
	return nil, nil
}

// errTorn says that a file ends in a frame that was not written whole.
var errTorn = errors.New("the spool file ends in a damaged frame")

// frame gives the payload at the offset.
func (s *spool) frame(at int64) ([]byte, error) {
	var head [frameHeader]byte
	if _, err := s.f.ReadAt(head[:], at); err != nil {
		return nil, torn(err)
	}
	size := int64(binary.LittleEndian.Uint32(head[:]))
	if size == 0 || size > maxFrame || at+frameHeader+size > s.size {
		return nil, errTorn
	}
	payload := make([]byte, size)
	if _, err := s.f.ReadAt(payload, at+frameHeader); err != nil {
		return nil, torn(err)
	}
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errTorn
	}
	return payload, nil
}

func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// drained reports whether every batch was read.
func (s *spool) drained() bool { return s.readAt >= s.size }

// keep closes the file and leaves it to a later start.
func (s *spool) keep() error { return errors.Join(s.f.Sync(), s.f.Close()) }

// remove closes the file and takes it away.
func (s *spool) remove() error {
	return errors.Join(s.f.Close(), os.Remove(s.f.Name()))
}

// putAside closes the file and renames it: its events can't be appended, but
// people may want to see them.
func (s *spool) putAside(suffix string) error {
	path := s.f.Name()
	return errors.Join(s.f.Close(), os.Rename(path, path+suffix))
}
