package app

import (
	"context"
	"log/slog"

	"tidings"
	"tidings/httpapi"
)

// OpenStore opens the store that the configuration names without serving it, for
// tools that work on it directly. The caller closes it. Only what concerns the
// store is looked at.
func OpenStore(ctx context.Context, c Config) (tidings.Store, error) {
	c = c.withDefaults()
	if err := c.checkStore(); err != nil {
		return nil, err
	}
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return openStore(ctx, &c, log)
}

// What stands in [Config.Auth], under the names that a program which knows only
// this package can use.
type (
	// APIKey is a secret of fixed permissions.
	APIKey = httpapi.APIKey
	// JWTConfig says which JSON Web Tokens are accepted.
	JWTConfig = httpapi.JWTConfig
	// Claims of a token for [MintToken].
	Claims = httpapi.Claims
	// Permission is one thing that a caller may do.
	Permission = httpapi.Permission
)

// Permissions lists every permission.
func Permissions() []Permission { return httpapi.Permissions }

// MintToken signs a token with HS256, which a server accepts whose JWT secret is
// the same.
func MintToken(secret string, c Claims) (string, error) { return httpapi.MintToken(secret, c) }
