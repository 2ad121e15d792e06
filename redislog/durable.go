package redislog

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"tidings"
)

// runDurably runs the append script and waits for replicas or the disk behind
// it, on one connection of its own: WAIT speaks of the writes of its own
// connection, so on a shared one, or another one, it would answer for others.
func (s *Store) runDurably(ctx context.Context, keys, args []string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout+s.opts.Durability.Timeout)
	defer cancel()
	var reply []string
	err := s.client.Dedicated(func(c rueidis.DedicatedClient) error {
		results := s.scriptAndWait(ctx, c, appendScript.bySHA(c, keys, args))
		if isNoScript(results[0].Error()) {
			results = s.scriptAndWait(ctx, c, appendScript.byText(c, keys, args))
		}
		var err error
		if reply, err = results[0].AsStrSlice(); err != nil {
			return err
		}
		if reply[0] != "ok" && reply[0] != "duplicate" {
			return nil // nothing was written that would have to be waited for
		}
		return s.waited(results[1:])
	})
	return reply, err
}

func (s *Store) scriptAndWait(ctx context.Context, c rueidis.DedicatedClient, run rueidis.Completed) []rueidis.RedisResult {
	d := s.opts.Durability
	commands := []rueidis.Completed{run}
	if d.Replicas > 0 {
		commands = append(commands, c.B().Wait().Numreplicas(int64(d.Replicas)).Timeout(d.Timeout.Milliseconds()).Build())
	}
	if d.usesAOF() {
		local := 0
		if d.AOFLocal {
			local = 1
		}
		commands = append(commands, c.B().Arbitrary("WAITAOF").Args(strconv.Itoa(local), strconv.Itoa(d.AOFReplicas),
			strconv.FormatInt(d.Timeout.Milliseconds(), 10)).Build())
	}
	return c.DoMulti(ctx, commands...)
}

// waited checks the answers of WAIT and WAITAOF.
func (s *Store) waited(results []rueidis.RedisResult) error {
	d := s.opts.Durability
	if d.Replicas > 0 {
		got, err := results[0].AsInt64()
		if err != nil {
			return err
		}
		if got < int64(d.Replicas) {
			return notDurable(fmt.Sprintf("%d of %d replicas have", got, d.Replicas))
		}
		results = results[1:]
	}
	if !d.usesAOF() {
		return nil
	}
	got, err := results[0].AsIntSlice()
	if err != nil {
		return err
	}
	if len(got) != 2 || d.AOFLocal && got[0] < 1 || got[1] < int64(d.AOFReplicas) {
		return notDurable(fmt.Sprintf("%v (master, replicas) of the asked append-only files have", got))
	}
	return nil
}

func notDurable(who string) error {
	return fmt.Errorf("%w: the batch was written, but in time only %s confirmed it; repeat it with the same producer sequence, and look at the replicas", tidings.ErrUnavailable, who)
}
