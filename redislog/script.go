package redislog

import (
	"context"
	"crypto/sha1" // no secret: it is how Redis names scripts
	_ "embed"
	"encoding/hex"

	"github.com/redis/rueidis"
)

var (
	//go:embed lua/log.lua
	logLua string
	//go:embed lua/append.lua
	appendLua string
	//go:embed lua/look.lua
	lookLua string
	//go:embed lua/adopt.lua
	adoptLua string
	//go:embed lua/heartbeat.lua
	heartbeatLua string
	//go:embed lua/delete.lua
	deleteLua string
	//go:embed lua/trim.lua
	trimLua string
	//go:embed lua/compact.lua
	compactLua string
	//go:embed lua/index.lua
	indexLua string
	//go:embed lua/unindex.lua
	unindexLua string

	appendScript    = newScript(logLua, appendLua)
	lookScript      = newScript(logLua, lookLua)
	adoptScript     = newScript(logLua, adoptLua)
	heartbeatScript = newScript(logLua, heartbeatLua)
	deleteScript    = newScript(logLua, deleteLua)
	trimScript      = newScript(logLua, trimLua)
	compactScript   = newScript(logLua, compactLua)
	indexScript     = newScript(indexLua)
	unindexScript   = newScript(unindexLua)
)

// script is a Lua script, sent by its digest and loaded where that is unknown.
type script struct{ text, sha string }

func newScript(parts ...string) *script {
	s := &script{}
	for _, p := range parts {
		s.text += p + "\n"
	}
	sum := sha1.Sum([]byte(s.text))
	s.sha = hex.EncodeToString(sum[:])
	return s
}

// doer is a client or a connection of its own.
type doer interface {
	B() rueidis.Builder
	Do(context.Context, rueidis.Completed) rueidis.RedisResult
	DoMulti(context.Context, ...rueidis.Completed) []rueidis.RedisResult
}

func (s *script) bySHA(c doer, keys, args []string) rueidis.Completed {
	return c.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

func (s *script) byText(c doer, keys, args []string) rueidis.Completed {
	return c.B().Eval().Script(s.text).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

// run runs the script. A server that does not know it yet has done nothing, so
// sending it again is no repetition.
func (s *script) run(ctx context.Context, c doer, keys, args []string) rueidis.RedisResult {
	r := c.Do(ctx, s.bySHA(c, keys, args))
	if isNoScript(r.Error()) {
		r = c.Do(ctx, s.byText(c, keys, args))
	}
	return r
}

// load makes the script known to the server behind c.
func (s *script) load(ctx context.Context, c doer) error {
	return c.Do(ctx, c.B().ScriptLoad().Script(s.text).Build()).Error()
}

func isNoScript(err error) bool {
	e, ok := rueidis.IsRedisErr(err)
	return ok && e.IsNoScript()
}

// onKey sends keyless commands to the server of a key.
type onKey struct {
	rueidis.Client
	key string
}

// Do implements doer.
func (c onKey) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	return c.Client.DoMulti(ctx, cmd, c.Client.B().Exists().Key(c.key).Build())[0]
}
