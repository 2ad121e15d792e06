package tidings

import (
	"bytes"
	"encoding/binary"
	"io"
	"time"
)

func appendBatch(dst []byte, b *batch) []byte {
	dst = binary.AppendVarint(dst, b.number)
	dst = binary.AppendUvarint(dst, uint64(len(b.events)))
	for i := range b.events {
		e := &b.events[i]
		dst = binary.AppendVarint(dst, e.Time.UnixMicro())
		dst = appendBytes(dst, []byte(e.Type))
		dst = appendBytes(dst, e.Data)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func parseBatch(payload []byte) (*batch, error) {
	r := bytes.NewReader(payload)
	number, err := binary.ReadVarint(r)
	if err != nil {
		return nil, errTorn
	}
	count, err := binary.ReadUvarint(r)
	if err != nil || count > uint64(len(payload)) {
		return nil, errTorn
	}
	b := &batch{number: number, spooled: true, events: make([]Event, count)}
	for i := range b.events {
		micros, err := binary.ReadVarint(r)
		if err != nil {
			return nil, errTorn
		}
		eventType, err1 := readBytes(r)
		data, err2 := readBytes(r)
		if err1 != nil || err2 != nil {
			return nil, errTorn
		}
		b.events[i] = Event{Type: string(eventType), Time: time.UnixMicro(micros).UTC(), Data: data}
	}
	return b, nil
}

func readBytes(r *bytes.Reader) ([]byte, error) {
	size, err := binary.ReadUvarint(r)
	if err != nil || size > uint64(r.Len()) {
		return nil, errTorn
	}
	out := make([]byte, size)
	_, err = io.ReadFull(r, out)
	return out, err
}
