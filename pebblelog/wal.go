package pebblelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// After a kill the end of the write-ahead log has to be told from damage in it:
// what was being written when the process ended is not there, and that is right;
// what had been synced before must be. The committer begins a record only when
// the one before is synced; so a bad place before the begin of a good record is
// damage. Pebble looks for such evidence only from the next block on, and only
// at how far it had noted the log as synced: it would drop up to 32 KiB of
// acknowledged events in silence.
//
// The format: https://github.com/cockroachdb/pebble/blob/v2.1.7/record/record.go
const (
	walBlock        = 32 << 10
	walHeader       = 4 + 2 + 1           // checksum, length, type
	walNumberHeader = walHeader + 4       // the low half of the log's number
	walSyncHeader   = walNumberHeader + 8 // how far the log was synced
)

var errDamagedLog = errors.New("write-ahead log is damaged")

// checkLogs reports damage in the write-ahead logs of a folder.
func checkLogs(on vfs.FS, dir string) error {
	names, err := on.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		number, err := strconv.ParseUint(strings.TrimSuffix(name, ".log"), 10, 64)
		if err != nil || !strings.HasSuffix(name, ".log") {
			continue
		}
		text, err := readFile(on, on.PathJoin(dir, name))
		if err != nil {
			return err
		}
		log := walFile{text, uint32(number)}
		if bad, good, damaged := log.damage(); damaged {
			return fmt.Errorf("%w: %s is bad at byte %d, and goes on at %d", errDamagedLog, name, bad, good)
		}
	}
	return nil
}

func readFile(on vfs.FS, path string) ([]byte, error) {
	f, err := on.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(f)
	return text, errors.Join(err, f.Close())
}

// walFile is a log in memory.
type walFile struct {
	text   []byte
	number uint32
}

// damage finds a bad chunk that lies before the begin of a good record.
func (w walFile) damage() (bad, good int, damaged bool) {
	bad = w.end()
	for at := bad + 1; at+walNumberHeader <= len(w.text); at++ {
		if beginsRecord(w.text[at+6]) && w.chunk(at) > 0 {
			return bad, at, true
		}
	}
	return 0, 0, false
}

// beginsRecord reports whether a type of chunk is a whole record or the first
// part of one, and names its log.
func beginsRecord(chunkType byte) bool {
	return chunkType == 5 || chunkType == 6 || chunkType == 9 || chunkType == 10
}

// end is where the first chunk that is not whole begins.
func (w walFile) end() int {
	at := 0
	for {
		left := walBlock - at%walBlock
		size := w.chunk(at)
		switch {
		case size > 0:
			at += size
		case left < walSyncHeader && at+left <= len(w.text) && allZero(w.text[at:at+left]):
			at += left // there was no room for another in the block
		default:
			return at
		}
	}
}

// chunk gives the size of the chunk at a place, or zero if there is no whole
// one.
func (w walFile) chunk(at int) int {
	if at+walHeader > len(w.text) {
		return 0
	}
	b := w.text[at:min(len(w.text), at+walBlock-at%walBlock)]
	if len(b) < walHeader {
		return 0
	}
	header := walHeaderSize(b[6])
	size := header + int(binary.LittleEndian.Uint16(b[4:]))
	if header == 0 || size > len(b) {
		return 0
	}
	if header >= walNumberHeader && binary.LittleEndian.Uint32(b[7:]) != w.number {
		return 0 // left over from the log that the file was before
	}
	if binary.LittleEndian.Uint32(b) != walChecksum(b[6:size]) {
		return 0
	}
	return size
}

// walHeaderSize is the size of the header of a type of chunk, or zero.
func walHeaderSize(chunkType byte) int {
	switch {
	case chunkType == 0 || chunkType > 12:
		return 0
	case chunkType <= 4:
		return walHeader
	case chunkType <= 8:
		return walNumberHeader
	}
	return walSyncHeader
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func walChecksum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
