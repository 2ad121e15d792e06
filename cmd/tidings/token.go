package main

import (
	"errors"
	"fmt"
	"time"

	"tidings/app"
)

type tokenCmd struct {
	Secret      string        `help:"The server's --jwt-secret." env:"TIDINGS_JWT_SECRET" placeholder:"SECRET"`
	Permissions []string      `help:"What the token allows: publish, read, cancel, admin." required:"" placeholder:"LIST"`
	Jobs        []string      `help:"Patterns of the jobs it is for; * stands for any characters. Default: all jobs." default:"*" placeholder:"PATTERN"`
	TTL         time.Duration `name:"ttl" help:"How long it is valid. 0: for ever, which servers refuse unless told otherwise." default:"24h"`
	Subject     string        `help:"Who uses it; shown in the server's log and as who asked a job to stop." placeholder:"NAME"`
	Issuer      string        `help:"The server's --jwt-issuer." placeholder:"TEXT"`
	Audience    string        `help:"The server's --jwt-audience." placeholder:"TEXT"`
}

func (tokenCmd) Help() string {
	return `Makes a JSON Web Token that a server with the same secret accepts. The secret is better given in the environment than on the command line, where others on the machine can see it: as TIDINGS_TOKEN_SECRET, or TIDINGS_JWT_SECRET as for "tidings serve".

Examples:

    tidings token --permissions publish --jobs 'job-42' --ttl 1h --subject worker-7
    tidings token --permissions read --jobs 'team-a-*'`
}

// Run prints the token.
func (t *tokenCmd) Run(e *env) error {
	if t.Secret == "" {
		return errors.New("the secret is missing; give the server's --jwt-secret as --secret, TIDINGS_TOKEN_SECRET or TIDINGS_JWT_SECRET")
	}
	if t.TTL < 0 {
		return fmt.Errorf("--ttl %v: a token can't have ended before it begins; give a duration such as 24h, or 0 for one that never ends", t.TTL)
	}
	claims := app.Claims{Subject: t.Subject, Issuer: t.Issuer, Audience: t.Audience, Jobs: t.Jobs}
	for _, p := range t.Permissions {
		claims.Permissions = append(claims.Permissions, app.Permission(p))
	}
	if t.TTL > 0 {
		claims.ExpiresAt = time.Now().Add(t.TTL)
	}
	token, err := app.MintToken(t.Secret, claims)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, token)
	return err
}
