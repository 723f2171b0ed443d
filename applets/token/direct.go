package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/grant"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

const (
	// directTime bounds discovery and request together.
	directTime    = 60 * time.Second
	maxSecretFile = 4 << 10
)

// direct asks a provider itself, with a client that was given in files: for services that have no login.
type direct struct {
	env    *cli.Env
	issuer string
	ca     string // path of the authorities to trust, "" for the system's
	client flow.ClientConfig
	http   *httpc.Client
}

var _ control.Granter = (*direct)(nil)

func (c *Cmd) direct(env *cli.Env) (*direct, error) {
	d := &direct{env: env, issuer: c.Account, client: flow.ClientConfig{ID: c.ClientID, OAuth2: true}}
	var err error
	if c.ClientSecretFile != "" {
		if d.client.Secret, err = readSecret(env, within(env, c.ClientSecretFile)); err != nil {
			return nil, cli.Fail(cli.Usage, fmt.Errorf("read --client-secret-file: %w", err), "")
		}
	}
	if c.CAFile != "" {
		d.ca = within(env, c.CAFile)
	}
	if d.http, err = httpc.New(httpc.Options{CAFile: d.ca, UserAgent: "oidcbox-token", Getenv: env.Getenv}); err != nil {
		return nil, cli.Fail(cli.Usage, err, "")
	}
	return d, nil
}

func (d *direct) close() {
	d.client.Secret.Wipe()
	d.http.CloseIdle()
}

// readSecret is the first line of a file.
func readSecret(env *cli.Env, path string) (secret.Text, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Text{}, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		env.Warn("others on this machine can get at the client secret in %s: its mode is %#o", path, info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	defer clear(b)
	if err != nil {
		return secret.Text{}, err
	}
	line, _, _ := bytes.Cut(b, []byte{'\n'})
	if line = bytes.TrimRight(line, "\r"); len(line) == 0 {
		return secret.Text{}, errors.New("its first line is empty")
	}
	return secret.New(bytes.Clone(line)), nil
}

// at finds the provider.
func (d *direct) at(ctx context.Context) (*flow.Client, *provider.Metadata, error) {
	md, note, err := provider.DiscoverTyped(ctx, d.http, d.issuer)
	if err != nil {
		return nil, nil, err
	}
	if note != "" {
		d.env.Note("%s", note)
	}
	style := flow.AudienceResource
	known, err := login.LoadCatalogue(login.CatalogueDirs(d.env.Getenv)...)
	if err != nil {
		d.env.Warn("%v", err)
	}
	if i, ok := known.Find(md.Issuer); ok && i.AudienceStyle != "" {
		style = flow.AudienceStyle(i.AudienceStyle)
	}
	return flow.New(d.http, md, d.client, flow.Options{Now: d.env.Now, Audience: style}), md, nil
}

// Grant gets a token. The refresh token of an exchange is handed to the agent when it is to be kept.
func (d *direct) Grant(ctx context.Context, r control.GrantRequest) (control.Granted, error) {
	ctx, cancel := context.WithTimeout(ctx, directTime)
	defer cancel()
	agent := keeper{control: control.Client{Path: control.Place(d.env.Getenv)}, env: d.env}
	if r.SaveAs != "" {
		if err := agent.ready(ctx, r.SaveAs, r.Replace); err != nil {
			return control.Granted{}, err
		}
	}
	cl, md, err := d.at(ctx)
	if err != nil {
		return control.Granted{}, d.explain(err)
	}
	toks, err := grant.Run(ctx, cl, r)
	defer toks.Wipe()
	if err != nil {
		return control.Granted{}, d.explain(fmt.Errorf("client %s, scope %q, audience %q: %w",
			d.client.ID, r.Scope, r.Audience, err))
	}
	out := control.Granted{
		Token: control.Token{
			Access: toks.Access.Clone(), Issuer: md.Issuer, Expires: toks.Expires, Scope: toks.Scope,
		},
		IssuedType: toks.IssuedType,
	}
	if r.SaveAs == "" {
		return out, nil
	}
	out.Saved, err = agent.keep(ctx, grant.Login(d.login(md.Issuer), r, toks))
	return out, err
}

// login is what a login made of an exchange begins with.
func (d *direct) login(issuer string) login.Config {
	return login.Config{
		Issuer: issuer, ClientID: d.client.ID, ClientSecret: d.client.Secret, CertPath: d.ca, OAuth2: true,
	}
}

// Revoke ends a token with the client.
func (d *direct) Revoke(ctx context.Context, r control.RevokeRequest) (control.Revoked, error) {
	ctx, cancel := context.WithTimeout(ctx, directTime)
	defer cancel()
	cl, md, err := d.at(ctx)
	if err != nil {
		return control.Revoked{}, d.explain(err)
	}
	out := control.Revoked{Issuer: md.Issuer}
	if out.Confirmed, err = grant.End(ctx, cl, r.Token, r.Hint); err != nil {
		return out, d.explain(err)
	}
	return out, nil
}

// explain gives what a provider said its exit code.
func (d *direct) explain(err error) error {
	var other *provider.IssuerError
	switch {
	case flow.Temporary(err):
		return cli.Fail(cli.Temporary, err, "try again later")
	case errors.As(err, &other):
		return cli.Fail(cli.No, err, "the issuer has to be given as its discovery document names it")
	case flow.UnknownClient(err):
		return cli.Fail(cli.No, err, "look at --client-id and --client-secret-file, and at the grants of the client")
	case errors.Is(err, flow.ErrNoEndpoint):
		return cli.Fail(cli.No, err, "")
	}
	return cli.Fail(cli.No, err, "")
}

// keeper puts a login into the agent.
type keeper struct {
	control control.Client
	env     *cli.Env
}

// ready fails before anything is asked of the provider when the login could not be kept.
func (k keeper) ready(ctx context.Context, name string, replace bool) error {
	if err := login.CheckName(name); err != nil {
		return cli.Fail(cli.Usage, fmt.Errorf("--save-as: %w", err), "")
	}
	list, err := k.control.Logins(ctx)
	if err != nil {
		return explainControl(err)
	}
	for _, l := range list {
		if l.Name == name && !replace {
			return cli.Fail(cli.No, fmt.Errorf("there is a login %s", name), "choose another name, or give --replace")
		}
	}
	return nil
}

// keep saves the login in the keystore, or loads it into the agent's memory where there is none.
func (k keeper) keep(ctx context.Context, cfg login.Config) (where string, err error) {
	if cfg.RefreshToken.Empty() {
		return "", cli.Fail(cli.No, errors.New("the provider gave no refresh token"),
			"its policy may give none for this exchange; without --save-as the access token is printed")
	}
	plain, err := cfg.Encode()
	if err != nil {
		return "", fmt.Errorf("keep login %s: %w", cfg.Name, err)
	}
	config := secret.New(plain)
	defer config.Wipe()
	st, err := k.control.Status(ctx)
	if err != nil {
		return "", fmt.Errorf("keep login %s: %w", cfg.Name, explainControl(err))
	}
	if st.Keystore == control.KeystoreOpen {
		// A login of that name is replaced, with its refresh token.
		_ = k.control.RemoveLogin(ctx, cfg.Name)
		return control.SavedKeystore, k.control.SaveLogin(ctx, config)
	}
	rep, err := proto.FindFor(k.env).Call(ctx, proto.Request{Type: proto.TypeAdd, Config: config, PlainAdd: true})
	if err == nil {
		err = rep.Err()
	}
	rep.Wipe()
	if err != nil {
		return "", fmt.Errorf("keep login %s: %w", cfg.Name, proto.Explain(err, false))
	}
	return control.SavedMemory, nil
}
