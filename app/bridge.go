package app

import (
	"context"
	"errors"
	"log/slog"

	"tidings"
	"tidings/redislog"
)

// checkBridge: the channels of the bridge are those of Redis.
func (c *Config) checkBridge() error {
	switch {
	case c.bridged() && c.RedisURL == "":
		return errors.New("the bridge to Pub/Sub channels needs a Redis URL")
	case c.BridgeChannel != "" && !c.bridged():
		return errors.New("a bridge channel needs bridge in, out or both")
	}
	return nil
}

func (c *Config) bridged() bool { return c.BridgeIn || c.BridgeOut }

// startBridge gives nil if none is wanted.
func startBridge(ctx context.Context, c *Config, store tidings.Store, log *slog.Logger) (*redislog.Bridge, error) {
	redis, ok := store.(*redislog.Store)
	if !ok || !c.bridged() {
		return nil, nil
	}
	return redislog.StartBridge(ctx, redis, redislog.BridgeOptions{In: c.BridgeIn, Out: c.BridgeOut, Channel: c.BridgeChannel, Logger: log})
}
