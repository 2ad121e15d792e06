package pebblelog

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"tidings"
)

// formatVersion is the format that this version writes: the keys of keys.go and
// what stands under them.
const formatVersion = 1

// migrations bring a store from the format version of their key to the next, in
// the batch in which that one is written down.
var migrations = map[int]func(*pebble.DB, *pebble.Batch) error{}

var errFormat = errors.New("malformed format key")

// checkFormat makes sure that the database is a store of a format that this
// version knows, after migrations if need be, and gives the store's ID.
func checkFormat(db *pebble.DB) (string, error) {
	value, ok, err := get(db, keyFormat)
	if err != nil {
		return "", err
	}
	if !ok {
		return createFormat(db)
	}
	version, id, err := parseFormat(value)
	if err != nil {
		return "", err
	}
	if version > formatVersion {
		return "", fmt.Errorf("it has format version %d, written by a newer version of this program; this one knows versions up to %d", version, formatVersion)
	}
	return id, migrate(db, version, id)
}

// createFormat makes an empty database a store. One with keys in it is someone
// else's.
func createFormat(db *pebble.DB) (string, error) {
	it, err := db.NewIter(nil)
	if err != nil {
		return "", err
	}
	foreign := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return "", err
	}
	if foreign {
		return "", errors.New("it holds a Pebble database, but none that this program made; give another --data folder")
	}
	id := randomTag(16)
	return id, db.Set(keyFormat, formatValue(formatVersion, id), pebble.Sync)
}

func migrate(db *pebble.DB, version int, id string) error {
	for ; version < formatVersion; version++ {
		step := migrations[version]
		if step == nil {
			return fmt.Errorf("it has format version %d, which this version of the program can't read", version)
		}
		b := db.NewBatch()
		if err := errors.Join(step(db, b), b.Set(keyFormat, formatValue(version+1, id), nil)); err != nil {
			return fmt.Errorf("from format version %d to %d: %w", version, version+1, err)
		}
		if err := errors.Join(b.Commit(pebble.Sync), b.Close()); err != nil {
			return err
		}
	}
	return nil
}

// formatValue is "tidings <version> <store ID>".
func formatValue(version int, id string) []byte {
	return fmt.Appendf(nil, "tidings %d %s", version, id)
}

func parseFormat(value []byte) (version int, id string, err error) {
	parts := strings.Split(string(value), " ")
	if len(parts) != 3 || parts[0] != "tidings" {
		return 0, "", errFormat
	}
	version, err = strconv.Atoi(parts[1])
	if err != nil || parts[2] == "" {
		return 0, "", errFormat
	}
	return version, parts[2], nil
}

// randomTag gives n random characters of [0-9a-z].
func randomTag(n int) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails since Go 1.24
	for i := range b {
		b[i] = digits[int(b[i])%len(digits)]
	}
	return string(b)
}

// get gives a copy of what stands under a key.
func get(db *pebble.DB, key []byte) (value []byte, ok bool, err error) {
	v, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	value = append(value, v...)
	return value, true, closer.Close()
}

// getNumber gives the number under a key, or zero.
func getNumber(db *pebble.DB, key []byte) (uint64, error) {
	value, ok, err := get(db, key)
	if err != nil || !ok {
		return 0, err
	}
	if len(value) != 8 {
		return 0, errFormat
	}
	return binary.BigEndian.Uint64(value), nil
}

// getID gives the ID under a key, or the zero ID.
func getID(db *pebble.DB, key []byte) (tidings.ID, error) {
	value, ok, err := get(db, key)
	if err != nil || !ok {
		return tidings.ID{}, err
	}
	if len(value) != 16 {
		return tidings.ID{}, errFormat
	}
	return tailID(value), nil
}
