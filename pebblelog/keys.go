package pebblelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tidings"
)

// The keys of the store. Numbers are big endian, so that keys sort as they do.
//
//	V                                 format version and store ID
//	N                                 the next job number
//	T                                 up to where the feed was trimmed
//	j <job ID>                        job record
//	c <^created µs> <^number>         → job ID; all jobs, the newest first
//	o <^created µs> <^number>         → job ID; of them, those that have not ended
//	x <last event's ID>               → job ID; jobs that have ended, the longest ago first
//	e <number> <ms> <seq>             event
//	p <number> <producer ID>          producer state
//	f <ms> <seq>                      feed entry, by the last ID of a batch
//
// A job's number is never given twice: what belongs to one life of a job ID is
// removed by one range, and nothing of it can be taken for the next life's.
const (
	prefixCreated  = 'c'
	prefixEvent    = 'e'
	prefixFeed     = 'f'
	prefixJob      = 'j'
	prefixOpen     = 'o'
	prefixProducer = 'p'
	prefixEnded    = 'x'
)

var (
	keyFormat      = []byte("V")
	keyNextNumber  = []byte("N")
	keyFeedTrimmed = []byte("T")
)

func appendID(dst []byte, id tidings.ID) []byte {
	dst = binary.BigEndian.AppendUint64(dst, id.Ms)
	return binary.BigEndian.AppendUint64(dst, id.Seq)
}

// tailID reads the ID that ends a key.
func tailID(key []byte) tidings.ID {
	b := key[len(key)-16:]
	return tidings.ID{Ms: binary.BigEndian.Uint64(b), Seq: binary.BigEndian.Uint64(b[8:])}
}

func appendJobKey(dst []byte, jobID string) []byte {
	return append(append(dst, prefixJob), jobID...)
}

// appendEventKey gives the key of an event; the key with the zero ID is the
// lower bound of the log, and with number+1 the upper one.
func appendEventKey(dst []byte, number uint64, id tidings.ID) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, prefixEvent), number)
	return appendID(dst, id)
}

// eventNumber reads the job number in an event's key.
func eventNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key[1:]) }

func appendProducerKey(dst []byte, number uint64, producerID string) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, prefixProducer), number)
	return append(dst, producerID...)
}

const producerKeyHead = 1 + 8

func appendFeedKey(dst []byte, id tidings.ID) []byte {
	return appendID(append(dst, prefixFeed), id)
}

func appendEndedKey(dst []byte, id tidings.ID) []byte {
	return appendID(append(dst, prefixEnded), id)
}

// created is a place in an index by creation.
type created struct {
	micros int64
	number uint64
}

const signBit = 1 << 63

// appendKey gives the key of the place in the index with that prefix.
func (c created) appendKey(dst []byte, prefix byte) []byte {
	dst = append(dst, prefix)
	dst = binary.BigEndian.AppendUint64(dst, ^(uint64(c.micros) ^ signBit))
	return binary.BigEndian.AppendUint64(dst, ^c.number)
}

func parseCreatedKey(key []byte) (created, error) {
	if len(key) != 17 {
		return created{}, fmt.Errorf("malformed key %x", key)
	}
	return created{
		micros: int64(^binary.BigEndian.Uint64(key[1:]) ^ signBit),
		number: ^binary.BigEndian.Uint64(key[9:]),
	}, nil
}

// cursor is the opaque form that a listing hands out.
func (c created) cursor() string {
	return strconv.FormatInt(c.micros, 10) + "." + strconv.FormatUint(c.number, 10)
}

var errListCursor = errors.New("no cursor of a listing")

func parseListCursor(s string) (created, error) {
	micros, number, ok := strings.Cut(s, ".")
	if !ok {
		return created{}, errListCursor
	}
	c := created{}
	var err1, err2 error
	c.micros, err1 = strconv.ParseInt(micros, 10, 64)
	c.number, err2 = strconv.ParseUint(number, 10, 64)
	return c, errors.Join(err1, err2)
}
