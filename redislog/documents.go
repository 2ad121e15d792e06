package redislog

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"tidings"
)

var (
	//go:embed lua/documents_hold.lua
	documentsHoldLua string
	//go:embed lua/documents_write.lua
	documentsWriteLua string

	documentsHoldScript  = newScript(documentsHoldLua)
	documentsWriteScript = newScript(documentsWriteLua)
)

// Documents are what the nodes of a server share besides logs, such as the
// checkpoints of a monitor: documents by name, and a lease on the right to
// write some of them. They lie together in one slot. Safe for concurrent use.
type Documents struct {
	s     *Store
	group string
	node  string // who holds the lease; another one in each process
}

// Documents gives the documents of a group. Each call stands for another holder
// of the lease.
func (s *Store) Documents(group string) *Documents {
	return &Documents{s: s, group: group, node: s.node + "-" + newTag()}
}

func (d *Documents) lease() string { return d.s.keys.derived(0, d.group+":lease") }

func (d *Documents) key(name string) string { return d.s.keys.derived(0, d.group+":doc:"+name) }

// Hold takes the lease or renews it, by Redis' clock. If another holds it, the
// epoch is 0; each holder gets a higher one than the holder before.
func (d *Documents) Hold(ctx context.Context, ttl time.Duration) (epoch int64, err error) {
	return d.hold(ctx, max(1, ttl.Milliseconds()))
}

// Release gives the lease back at once.
func (d *Documents) Release(ctx context.Context) error {
	_, err := d.hold(ctx, 0)
	return err
}

func (d *Documents) hold(ctx context.Context, ms int64) (int64, error) {
	if d.s.closed() {
		return 0, tidings.ErrStoreClosed
	}
	epoch, err := d.s.runScript(ctx, documentsHoldScript, []string{d.lease()}, []string{d.node, formatInt(ms)}).AsInt64()
	if err != nil {
		return 0, d.s.unavailable("holding the lease of "+d.group, err)
	}
	return epoch, nil
}

// Load gives a document and its version; nil and 0 if there is none.
func (d *Documents) Load(ctx context.Context, name string) (data []byte, version int64, err error) {
	if d.s.closed() {
		return nil, 0, tidings.ErrStoreClosed
	}
	fields, err := d.s.do(ctx, d.s.client.B().Hmget().Key(d.key(name)).Field("version", "data").Build()).ToArray()
	if err != nil {
		return nil, 0, d.s.unavailable("loading the document "+name, err)
	}
	version, err = fields[0].AsInt64()
	if rueidis.IsRedisNil(err) {
		return nil, 0, nil
	}
	text, err2 := fields[1].ToString()
	if err := errors.Join(err, err2); err != nil {
		return nil, 0, fmt.Errorf("the key %q holds no document: %w", d.key(name), err)
	}
	return []byte(text), version, nil
}

// Save replaces a document for the holder of the lease: ok is false, and nothing
// was written, if another has taken it since the epoch.
func (d *Documents) Save(ctx context.Context, name string, data []byte, epoch int64) (ok bool, err error) {
	return d.write(ctx, name, data, "epoch", epoch)
}

// Swap replaces a document whose version is still the one given; otherwise ok is
// false, and nothing was written.
func (d *Documents) Swap(ctx context.Context, name string, data []byte, version int64) (ok bool, err error) {
	return d.write(ctx, name, data, "version", version)
}

func (d *Documents) write(ctx context.Context, name string, data []byte, by string, number int64) (bool, error) {
	if d.s.closed() {
		return false, tidings.ErrStoreClosed
	}
	args := []string{rueidis.BinaryString(data), by, formatInt(number), d.node}
	done, err := d.s.runScript(ctx, documentsWriteScript, []string{d.key(name), d.lease()}, args).AsInt64()
	if err != nil {
		return false, d.s.unavailable("writing the document "+name, err)
	}
	return done == 1, nil
}
