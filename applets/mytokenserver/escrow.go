package mytokenserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/mytoken/escrow"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

const (
	maxEscrowKey = 16 << 10
	// maxDeposits bounds a file of deposits: some hundred thousand of them.
	maxDeposits = 256 << 20
	// escrowWait bounds the search for providers and each revocation there.
	escrowWait = 30 * time.Second
	escrowHint = "mytoken-server escrow keygen prints the public half of a key, or openssl pkey -pubout (state.escrow_file)"
)

type escrowCmd struct {
	Keygen escrowKeygenCmd `cmd:"" help:"Make a key, on another machine: the private half into a file, the public one to standard output."`
	List   escrowListCmd   `cmd:"" help:"List logins that ended here and not at their provider."`
	Open   escrowOpenCmd   `cmd:"" help:"Open deposits with the private key, on another machine: refresh tokens to standard output."`
	Revoke escrowRevokeCmd `cmd:"" help:"Revoke opened refresh tokens at their providers."`
}

// depositView is a deposit, as it travels to who has the key.
type depositView struct {
	Login string    `json:"login"`
	User  string    `json:"user"`
	Key   string    `json:"key"`
	At    time.Time `json:"at"`
	Ended time.Time `json:"ended,omitzero"`
	Box   []byte    `json:"box"`
}

// openedView is an opened deposit, as it travels back. It is a secret.
type openedView struct {
	Login   string `json:"login"`
	Issuer  string `json:"oidc_iss"`
	Subject string `json:"oidc_sub"`
	Refresh string `json:"refresh_token"`
}

// readRecipient reads the public half of the escrow key; "" is none.
func readRecipient(path string) (*escrow.Recipient, error) {
	if path == "" {
		return nil, nil
	}
	b, err := config.ReadFile(path, maxEscrowKey)
	if err != nil {
		return nil, err
	}
	return escrow.ParseRecipient(b)
}

// escrow looks at the public half of the escrow key.
func (r *report) escrow(s *settings) {
	switch k, err := readRecipient(s.state.escrow); {
	case err != nil:
		r.add(finding{Area: "escrow", Name: s.state.escrow, Verdict: fault, Text: err.Error(), Hint: escrowHint})
	case k != nil:
		r.add(finding{Area: "escrow", Name: s.state.escrow, Verdict: good, Text: "key " + k.ID()})
	}
}

type escrowKeygenCmd struct {
	File string `arg:"" name:"file" help:"Where the private half goes; it must not be there."`
}

// Run makes a key.
func (c *escrowKeygenCmd) Run(_ context.Context, env *cli.Env) error {
	private, public, err := escrow.GenerateKey()
	if err != nil {
		return cli.Fail(cli.No, err, "")
	}
	defer private.Wipe()
	_, err = copyNew(within(env, c.File), func(w io.Writer) error {
		return private.Use(func(b []byte) error { _, err := w.Write(b); return err })
	})
	if errors.Is(err, fs.ErrExist) {
		return cli.Fail(cli.No, fmt.Errorf("write the private key: %w", err), "take another name: keys are not overwritten")
	}
	if err != nil {
		return cli.Fail(cli.No, fmt.Errorf("write the private key: %w", err), "")
	}
	if _, err := env.Stdout.Write(public); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	env.Note("%s opens the escrow: keep it away from the server. What was printed goes there (state.escrow_file)", c.File)
	return nil
}

type escrowListCmd struct {
	configFlag
	All  bool `help:"Also logins that live, and those that were revoked at their provider."`
	JSON bool `name:"json" help:"Print them as JSON, with what escrow open needs."`
}

// Run lists deposits.
func (c *escrowListCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.inOffice(ctx, env, func(o office) error {
		list, err := o.Deposits(ctx, c.All)
		if err != nil || c.JSON {
			return orJSON(env.Stdout, list, err)
		}
		head := []string{"LOGIN", "USER", "DEPOSITED", "ENDED", "KEY"}
		return table(env.Stdout, head, len(list), func(i int) []string {
			d := list[i]
			return []string{d.Login, d.User, date(d.At), date(d.Ended), d.Key}
		})
	})
}

type escrowOpenCmd struct {
	Key  string `required:"" placeholder:"FILE" help:"The private half of the key."`
	File string `arg:"" optional:"" name:"file" help:"What escrow list --json printed; standard input when left out."`
}

// Run opens deposits. It needs no configuration and no server.
func (c *escrowOpenCmd) Run(_ context.Context, env *cli.Env) error {
	text, err := config.ReadFile(within(env, c.Key), maxEscrowKey)
	if err != nil {
		return cli.Fail(cli.NotFound, err, "")
	}
	private := secret.New(text)
	defer private.Wipe()
	key, err := escrow.ParseKey(private)
	if err != nil {
		return cli.Fail(cli.No, err, "")
	}
	var list []depositView
	if err := readList(env, c.File, &list); err != nil {
		return err
	}
	opened, others := []openedView{}, 0
	for _, d := range list {
		got, err := key.Open(d.Login, d.Box)
		if err != nil && d.Key != key.ID() {
			others++
			continue
		}
		if err != nil {
			return cli.Fail(cli.No, fmt.Errorf("login %.40q: %w", d.Login, err), "")
		}
		opened = append(opened, openedView{d.Login, got.Issuer, got.Subject, got.Refresh.Expose()})
		got.Refresh.Wipe()
	}
	if others > 0 {
		env.Warn("%d of %d are for another key", others, len(list))
	}
	return printJSON(env.Stdout, opened)
}

// readList reads the JSON of a file, or of standard input.
func readList(env *cli.Env, file string, to any) error {
	var b []byte
	var err error
	if file == "" || file == "-" {
		b, err = io.ReadAll(io.LimitReader(env.Stdin, maxDeposits))
	} else {
		b, err = config.ReadFile(within(env, file), maxDeposits)
	}
	if err != nil {
		return cli.Fail(cli.NotFound, err, "")
	}
	defer clear(b)
	if json.Unmarshal(b, to) != nil {
		return cli.Failf(cli.Usage, "this is not the list that the command before has printed")
	}
	return nil
}

type escrowRevokeCmd struct {
	configFlag
	File string `arg:"" optional:"" name:"file" help:"What escrow open printed; standard input when left out."`
}

// Run revokes refresh tokens at their providers, and notes what was revoked.
func (c *escrowRevokeCmd) Run(ctx context.Context, env *cli.Env) error {
	var list []openedView
	if err := readList(env, c.File, &list); err != nil {
		return err
	}
	s, err := c.read(env)
	if err != nil {
		return err
	}
	providers, err := upstream.New(s.providers, upstream.Options{
		Now: env.Now, Log: env.Log,
		HTTP: httpc.Options{CAFile: s.caFile, UserAgent: "oidcbox-mytoken-server", Getenv: env.Getenv},
	})
	if err != nil {
		return cli.Fail(cli.No, err, "")
	}
	defer providers.Close()
	wait, cancel := context.WithTimeout(ctx, escrowWait)
	defer cancel()
	if err := providers.Settled(wait); err != nil {
		return cli.Fail(cli.No, fmt.Errorf("look for the providers: %w", err), "")
	}
	return c.inOffice(ctx, env, func(o office) error {
		var failed error
		for _, v := range list {
			if err := revokeOpened(ctx, o, providers, v); err != nil {
				failed = errors.Join(failed, fmt.Errorf("login %.40q: %w", v.Login, err))
			}
		}
		if failed != nil {
			return cli.Fail(cli.No, failed, "the others were revoked; escrow list shows what is left")
		}
		env.Note("%d revoked", len(list))
		return nil
	})
}

func revokeOpened(ctx context.Context, o office, providers *upstream.Registry, v openedView) error {
	p, ok := providers.Provider(v.Issuer)
	if !ok {
		return fmt.Errorf("provider %.100q is not one of this server", v.Issuer)
	}
	rt := secret.FromString(v.Refresh)
	defer rt.Wipe()
	ctx, cancel := context.WithTimeout(ctx, escrowWait)
	defer cancel()
	if err := p.Revoke(ctx, rt); err != nil {
		return err
	}
	return o.RevokedThere(ctx, v.Login)
}

// Deposits is part of office.
func (o ownOffice) Deposits(ctx context.Context, all bool) ([]depositView, error) {
	found, err := o.ledger.Escrowed(ctx)
	list := []depositView{}
	for _, e := range found {
		if all || !e.Ended.IsZero() && !e.AtProvider {
			list = append(list, depositView{e.ID, e.User, e.Key, e.At.UTC(), e.Ended.UTC(), e.Box})
		}
	}
	return list, err
}

// RevokedThere is part of office.
func (o ownOffice) RevokedThere(ctx context.Context, login string) error {
	s, err := o.ledger.LoginState(ctx, login)
	if err != nil {
		return err
	}
	if s.Ended.IsZero() {
		return fmt.Errorf("%w: the login has not ended here", ledger.ErrUnknown)
	}
	return o.ledger.RevokedAtProvider(ctx, login)
}
