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
// what had been synced before must be. A chunk says up to where the log was
// synced when it was written, so a bad chunk before such a place is damage.
// Pebble looks for such places only in the blocks after that of the bad chunk,
// and would drop up to 32 KiB of acknowledged events in silence.
//
// The format: https://github.com/cockroachdb/pebble/blob/v2.1.7/record/record.go
const (
	walBlock        = 32 << 10
	walHeader       = 4 + 2 + 1           // checksum, length, type
	walNumberHeader = walHeader + 4       // the low half of the log's number
	walSyncHeader   = walNumberHeader + 8 // how far the log is synced
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
		if bad, synced := log.damage(); synced > 0 {
			return fmt.Errorf("%w: %s is bad at byte %d, and was synced up to %d", errDamagedLog, name, bad, synced)
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

// damage gives the first bad chunk and how far the log had been synced when a
// good one behind it was written; zero if there is none that says more than
// that the log ends at the bad one.
func (w walFile) damage() (bad, synced uint64) {
	at := w.end()
	for p := at + 1; p+walSyncHeader <= len(w.text); p++ {
		if _, to, ok := w.chunk(p); ok && to > uint64(at) {
			return uint64(at), to
		}
	}
	return 0, 0
}

// end is where the first chunk that is not whole begins.
func (w walFile) end() int {
	at := 0
	for {
		left := walBlock - at%walBlock
		size, _, ok := w.chunk(at)
		switch {
		case ok:
			at += size
		case left < walSyncHeader && at+left <= len(w.text) && allZero(w.text[at:at+left]):
			at += left // there was no room for another in the block
		default:
			return at
		}
	}
}

// chunk reads the chunk at a place, if there is a whole one: its size, and how
// far the log was synced if it says that.
func (w walFile) chunk(at int) (size int, synced uint64, ok bool) {
	if at+walHeader > len(w.text) {
		return 0, 0, false
	}
	b := w.text[at:min(len(w.text), at+walBlock-at%walBlock)]
	if len(b) < walHeader {
		return 0, 0, false
	}
	header := walHeaderSize(b[6])
	size = header + int(binary.LittleEndian.Uint16(b[4:]))
	if header == 0 || size > len(b) {
		return 0, 0, false
	}
	if header >= walNumberHeader && binary.LittleEndian.Uint32(b[7:]) != w.number {
		return 0, 0, false // left over from the log that the file was before
	}
	if binary.LittleEndian.Uint32(b) != walChecksum(b[6:size]) {
		return 0, 0, false
	}
	if header == walSyncHeader {
		synced = binary.LittleEndian.Uint64(b[11:])
	}
	return size, synced, true
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
