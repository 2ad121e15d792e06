package tidings

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// spoolContents is what an older file holds.
type spoolContents struct {
	head   spoolHead
	origin mapping // of the batches in it
	from   int64   // number of the first batch that may not be appended yet
	events int64
	torn   int64 // bytes behind the last good frame
	// damaged says that those are not just the beginning of one more frame.
	damaged bool
}

// openSpool opens a file that another process, or an earlier handler, left.
func openSpool(path string) (*spool, *spoolContents, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	s := &spool{f: f}
	c, err := s.load()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return s, c, nil
}

func (s *spool) load() (*spoolContents, error) {
	if err := lockFile(s.f); err != nil {
		return nil, err
	}
	info, err := s.f.Stat()
	if err != nil {
		return nil, err
	}
	s.size = info.Size()
	c := &spoolContents{}
	at := int64(0)
	for at < s.size {
		payload, err := s.frame(at)
		if errors.Is(err, errTorn) {
			break
		}
		if err == nil {
			err = c.take(payload)
		}
		if err != nil {
			return nil, err
		}
		at += frameHeader + int64(len(payload))
		if payload[0] != frameBatch && c.events == 0 {
			s.readAt = at
		}
	}
	c.torn = s.size - at
	c.damaged = c.torn > 0 && s.wholeFrame(at)
	s.size = at
	if at == 0 {
		return nil, errSpoolInUse // its handler is about to write the head
	}
	if c.head.Format != spoolFormat {
		return nil, fmt.Errorf("no spool file of format %d", spoolFormat)
	}
	return c, nil
}

// take notes what a frame says about the whole file.
func (c *spoolContents) take(payload []byte) error {
	switch payload[0] {
	case frameHead:
		if err := json.Unmarshal(payload[1:], &c.head); err != nil {
			return err
		}
		c.origin.producer.ID = c.head.ProducerID
	case frameMap:
		r := bytes.NewReader(payload[1:])
		number, err1 := binary.ReadVarint(r)
		epoch, err2 := binary.ReadVarint(r)
		seq, err3 := binary.ReadVarint(r)
		if err := errors.Join(err1, err2, err3); err != nil {
			return errTorn
		}
		c.origin.set(number, epoch, seq)
		c.from = number
	case frameBatch:
		b, err := parseBatch(payload[1:])
		if err != nil {
			return err
		}
		c.events += int64(len(b.events))
	}
	return nil
}

// wholeFrame reports whether the file is long enough for the frame at the offset.
func (s *spool) wholeFrame(at int64) bool {
	var head [frameHeader]byte
	_, err := s.f.ReadAt(head[:], at)
	return err == nil && at+frameHeader+int64(binary.LittleEndian.Uint32(head[:])) <= s.size
}
