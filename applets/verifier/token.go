package verifier

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/bearer"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/remote"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// fetchTimeout bounds discovery and key set together.
const fetchTimeout = 20 * time.Second

// trust are the options that say what to read a token from and whom to believe.
type trust struct {
	JWKS      string   `name:"jwks" placeholder:"FILE" help:"Take the keys (a JWK set) from this file."`
	Issuer    string   `aliases:"iss" placeholder:"URL" help:"Issuer to trust, and to fetch keys from without --jwks."`
	Audience  []string `aliases:"aud" sep:"none" placeholder:"AUD" help:"Who the token has to be for. May be repeated."`
	Profile   string   `placeholder:"PROFILE" help:"Accept one profile only: generic, wlcg, scitokens or at+jwt."`
	TokenFile string   `placeholder:"FILE" help:"Where the token is, - for standard input; default: standard input, else where programs look for one."`
	KeysDir   string   `placeholder:"DIR" help:"Keep the issuer's keys in this directory, so that not every call fetches them."`
	CAFile    string   `name:"ca-file" placeholder:"FILE" help:"Certificates (PEM) to trust instead of the system's."`

	claimed *gate.Claimed // what the token that was read says of itself; nil: none was, or it cannot be read
	header  bool          // it came with the word Bearer, as a whole Authorization header has it
}

type tokenCmd struct {
	trust
	asked
	like
	JSON bool `name:"json" help:"Print the result and the claims as JSON."`

	// Rest catches a token that was put here, so that it is refused and not repeated.
	Rest []string `arg:"" optional:"" name:"none" help:"None. A token is no argument: everybody here could read it."`
}

// Run exits with 0 for an accepted token, 1 for a refused one, 2 for wrong usage and 5 when the keys cannot be had.
func (c *tokenCmd) Run(ctx context.Context, env *cli.Env) error {
	if len(c.Rest) > 0 {
		return tokenInArguments(c.Rest[0])
	}
	if err := c.asked.check(&c.trust); err != nil {
		return err
	}
	var (
		v       verdict
		refused error
		err     error
	)
	switch {
	case c.Config != "" || c.Service != "":
		v, refused, err = c.judgeLike(ctx, env)
	case c.wanted():
		v, refused, err = c.judgeAsking(ctx, env)
	default:
		v.Identity, refused, err = c.judge(ctx, env)
	}
	if err != nil {
		return err
	}
	return c.report(env, v, refused)
}

// judge reads the token and checks it; refused is the answer about the token, err what kept it from being given.
func (c *trust) judge(ctx context.Context, env *cli.Env) (id verify.Identity, refused, err error) {
	profiles, err := c.check(env)
	if err != nil {
		return id, nil, err
	}
	token, err := c.read(env)
	if err != nil {
		return id, nil, err
	}
	issuer, err := c.trusted(ctx, env)
	if err != nil {
		return id, nil, err
	}
	defer issuer.close()
	issuer.Profiles = profiles
	vc := verify.Config{
		Issuers: []verify.Issuer{issuer.Issuer}, AnyIssuer: issuer.URL == "", Audiences: c.Audience, Now: env.Now,
	}
	if issuer.keys != nil {
		vc.Keys = issuer.keys
	}
	v, err := verify.New(vc)
	if err != nil {
		return id, nil, cli.Fail(cli.Usage, err, "")
	}
	id, refused = v.Verify(ctx, token)
	return id, refused, nil
}

// check refuses what cannot work before anything is read or fetched.
func (c *trust) check(env *cli.Env) ([]claims.Profile, error) {
	switch {
	case c.JWKS == "" && c.Issuer == "":
		return nil, cli.Fail(cli.Usage, errors.New("whom to trust is not given"),
			"use --issuer URL or --jwks FILE; 'oidcbox verifier --help' has the other commands")
	case c.KeysDir != "" && c.JWKS != "":
		return nil, cli.Fail(cli.Usage, errors.New("--jwks and --keys-dir do not go together"),
			"--keys-dir keeps what is fetched, and with --jwks nothing is")
	case len(c.Audience) == 0 || slices.Contains(c.Audience, ""):
		return nil, cli.Fail(cli.Usage, errors.New("no audience is given"),
			"use --audience with the name of your service: without it, tokens made for others would be accepted")
	}
	if c.Issuer != "" {
		if err := provider.CheckIssuer(c.Issuer); err != nil {
			return nil, cli.Fail(cli.Usage, fmt.Errorf("--issuer: %w", err), "")
		}
	}
	if err := refuseTerminal(env, c.TokenFile); err != nil {
		return nil, err
	}
	return c.profiles()
}

// tokenInArguments refuses an argument without repeating it. A short word is a command that somebody mistyped.
func tokenInArguments(first string) error {
	const longestCommand = 16
	if len(first) <= longestCommand && strings.Trim(first, "abcdefghijklmnopqrstuvwxyz-") == "" {
		return cli.Fail(cli.Usage, errors.New("there is no such command, and a token is no argument"),
			"'oidcbox verifier --help' has the commands; a token comes on standard input or from --token-file")
	}
	return cli.Fail(cli.Usage, errors.New("there are options only, and a token is none"),
		"everybody on the machine can read a command line: use standard input or --token-file")
}

// read is readToken, and keeps what the token says of itself for the person who wonders why it was refused.
func (c *trust) read(env *cli.Env) ([]byte, error) {
	token, err := readToken(env, c.TokenFile)
	if err == nil {
		c.claimed = gate.ClaimedBy(token, jose.MaxToken)
		scheme, _, found := bytes.Cut(token, []byte(" "))
		c.header = found && bytes.EqualFold(scheme, []byte(gate.Bearer))
	}
	return token, err
}

// refuseTerminal keeps a command from waiting for somebody to type a token.
func refuseTerminal(env *cli.Env, file string) error {
	if file == "-" && cli.IsTerminal(env.Stdin) {
		return cli.Fail(cli.Usage, errors.New("no token is given"), "pipe it in or use --token-file FILE")
	}
	return nil
}

func (c *trust) profiles() ([]claims.Profile, error) {
	if c.Profile == "" {
		return nil, nil
	}
	all := claims.Profiles()
	if p := claims.Profile(c.Profile); slices.Contains(all, p) {
		return []claims.Profile{p}, nil
	}
	return nil, cli.Fail(cli.Usage, errors.New("there is no such profile"), fmt.Sprintf("profiles are %v", all))
}

// readToken reads a little more than a token may have, so that one that is too long is refused for that reason, and
// takes off the white space that files and pipes have around it. With no file named and nothing on standard input it is
// the token that programs would find.
func readToken(env *cli.Env, file string) ([]byte, error) {
	in := env.Stdin
	switch {
	case file != "" && file != "-":
		f, err := os.Open(within(env, file))
		if err != nil {
			// The name is not repeated: people put the token itself there.
			var bare *os.PathError
			if errors.As(err, &bare) {
				err = bare.Err
			}
			err = fmt.Errorf("read token file: %w", err)
			return nil, cli.Fail(cli.Usage, err, "--token-file takes the name of a file")
		}
		defer f.Close()
		in = f
	case file == "" && cli.IsTerminal(in):
		return found(env)
	}
	const limit = jose.MaxToken + 1<<10
	b, err := io.ReadAll(io.LimitReader(in, limit))
	if err != nil {
		return nil, cli.Failf(cli.Usage, "read token: %w", err)
	}
	if b = bytes.Trim(b, " \t\n\v\f\r"); len(b) > 0 {
		return b, nil
	}
	if file == "" {
		return found(env)
	}
	return nil, cli.Fail(cli.No, errors.New("token refused: there is none"), "the input is empty")
}

// found is the token where programs look for one.
func found(env *cli.Env) ([]byte, error) {
	t, where, err := bearer.Find(env.Getenv, os.Geteuid())
	switch {
	case errors.Is(err, bearer.ErrNone):
		return nil, cli.Fail(cli.No, errors.New("token refused: there is none"),
			"pipe it in, use --token-file FILE, or set BEARER_TOKEN_FILE")
	case err != nil:
		return nil, cli.Fail(cli.No, fmt.Errorf("token refused: %w", err), "")
	}
	defer t.Wipe()
	env.Note("looking at the token of %s", where)
	return []byte(t.Expose()), nil
}

// anchor is an issuer with its keys, or with a cache that has them.
type anchor struct {
	verify.Issuer
	keys  *provider.Keys // nil when Issuer has its own
	close func()
}

// trusted returns the issuer with its keys.
func (c *trust) trusted(ctx context.Context, env *cli.Env) (anchor, error) {
	if c.JWKS != "" {
		keys, err := fileKeys(env, c.JWKS)
		return anchor{Issuer: verify.Issuer{URL: c.Issuer, Keys: keys}, close: func() {}}, err
	}
	hc, err := httpc.New(httpc.Options{CAFile: c.caFile(env), Getenv: env.Getenv})
	if err != nil {
		return anchor{}, cli.Fail(cli.Usage, err, "")
	}
	if c.KeysDir != "" {
		return c.kept(ctx, env, hc)
	}
	defer hc.CloseIdle()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	md, err := discover(ctx, env, hc, c.Issuer)
	if err != nil {
		return anchor{}, err
	}
	keys, skipped, err := provider.FetchKeys(ctx, hc, md)
	if err != nil {
		return anchor{}, unavailable(fmt.Errorf("fetch keys of %s: %w", md.Issuer, err))
	}
	warnSkipped(env, skipped)
	return anchor{Issuer: verify.Issuer{URL: md.Issuer, Keys: keys}, close: func() {}}, nil
}

func discover(ctx context.Context, env *cli.Env, hc *httpc.Client, typed string) (*provider.Metadata, error) {
	md, note, err := provider.DiscoverTyped(ctx, hc, typed)
	if err != nil {
		return nil, unavailable(err)
	}
	if note != "" {
		env.Warn("%s", note)
	}
	return md, nil
}

func (c *trust) caFile(env *cli.Env) string {
	if c.CAFile == "" {
		return ""
	}
	return within(env, c.CAFile)
}

func fileKeys(env *cli.Env, name string) (*jose.KeySet, error) {
	f, err := os.Open(within(env, name))
	if err != nil {
		return nil, cli.Fail(cli.Usage, fmt.Errorf("read keys: %w", err), "")
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, jose.MaxKeySet+1))
	if err != nil {
		return nil, cli.Fail(cli.Usage, fmt.Errorf("read keys: %w", err), "")
	}
	keys, skipped, err := jose.ParseKeySet(b)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
		return nil, cli.Fail(cli.Usage, err, `the file has to be a JWK set: {"keys":[...]}`)
	}
	warnSkipped(env, skipped)
	return keys, nil
}

func warnSkipped(env *cli.Env, skipped []error) {
	for _, err := range skipped {
		env.Warn("left out: %v", err)
	}
}

func unavailable(err error) error {
	hint := "nothing was decided about the token"
	var other *provider.IssuerError
	if errors.As(err, &other) {
		hint = "the issuer has to be given exactly as its discovery document names it"
	}
	return cli.Fail(cli.Temporary, err, hint)
}

// result is what --json prints.
type result struct {
	Accepted      bool            `json:"accepted"`
	Reason        string          `json:"reason,omitempty"`
	Issuer        string          `json:"issuer,omitempty"`
	Subject       string          `json:"subject,omitempty"`
	Opaque        bool            `json:"opaque,omitempty"`
	Profile       claims.Profile  `json:"profile,omitempty"`
	Expires       int64           `json:"expires,omitempty"` // 0: the issuer does not say
	Claims        json.RawMessage `json:"claims,omitempty"`  // of the signed token
	Introspection json.RawMessage `json:"introspection,omitempty"`
	Userinfo      json.RawMessage `json:"userinfo,omitempty"`
	Claimed       *gate.Claimed   `json:"claimed,omitempty"` // of a token that was refused: nobody believes it
}

func (c *tokenCmd) report(env *cli.Env, v verdict, refused error) error {
	if refused != nil {
		if c.JSON {
			if err := printJSON(env.Stdout, result{Reason: verify.Reason(refused), Claimed: c.claimed}); err != nil {
				return err
			}
		}
		return c.refusal(refused)
	}
	if c.JSON {
		r, err := v.result()
		if err != nil {
			return err
		}
		return printJSON(env.Stdout, r)
	}
	_, err := fmt.Fprintln(env.Stdout, cli.Printable(oneLine(v.line(env.Now()))))
	return err
}

func (v *verdict) line(now time.Time) string {
	kind, life := "profile "+string(v.Profile), "the issuer does not say for how long"
	if v.opaque {
		kind = "opaque"
	}
	if exp := v.Claims.Expiry; !exp.IsZero() {
		life = fmt.Sprintf("valid for %v", max(exp.Sub(now), 0).Round(time.Second)) // less than 0 within the skew
	}
	return fmt.Sprintf("accepted: %s at %s, %s, %s", v.Subject, v.Issuer, kind, life)
}

func (v *verdict) result() (result, error) {
	r := result{Accepted: true, Issuer: v.Issuer, Subject: v.Subject, Opaque: v.opaque}
	if exp := v.Claims.Expiry; !exp.IsZero() {
		r.Expires = exp.Unix()
	}
	parts := map[*json.RawMessage]jose.Object{&r.Introspection: v.introspection, &r.Userinfo: v.userinfo}
	if !v.opaque {
		r.Profile, parts[&r.Claims] = v.Profile, v.Claims.All
	}
	for to, o := range parts {
		if o.Len() == 0 {
			continue
		}
		b, err := o.MarshalJSON()
		if err != nil {
			return r, err
		}
		*to = b
	}
	return r, nil
}

func (c *trust) refusal(refused error) error {
	if verify.Temporary(refused) || errors.Is(refused, remote.ErrUnavailable) {
		return cli.Fail(cli.Temporary, refused, "nothing was decided about the token")
	}
	return cli.Fail(cli.No, errors.New("token refused: "+verify.Reason(refused)), c.hintFor(refused))
}

func (c *trust) hintFor(refused error) string {
	var aud *verify.AudienceError
	switch {
	case c.header:
		return "the token is what comes after the word Bearer"
	case errors.Is(refused, errForNobody):
		return "--opaque-any-audience accepts an opaque token of which the issuer does not say for whom it is"
	case errors.Is(refused, verify.ErrUntrustedIssuer):
		hint := "iss in the token has to be the issuer byte for byte, the slash at the end included"
		if c.claimed != nil {
			hint += fmt.Sprintf("; it is %q", c.claimed.Issuer)
		}
		return hint
	case errors.As(refused, &aud) && c.claimed != nil && len(c.claimed.Audience) > 0:
		return fmt.Sprintf("aud in the token is %q: ask for one for your service (oidcbox token --aud)", c.claimed.Audience)
	case errors.As(refused, &aud):
		return "ask for a token for your service (oidcbox token --aud)"
	case errors.Is(refused, verify.ErrExpired):
		return "get a new token; if this one is new, compare the clocks"
	case errors.Is(refused, verify.ErrNotYet), errors.Is(refused, verify.ErrIssuedAhead):
		return "compare the clocks of this machine and of the issuer"
	case errors.Is(refused, verify.ErrNoKey):
		return "is it a token of this issuer? the keys are fetched anew at each call without --jwks and --keys-dir"
	case errors.Is(refused, jose.ErrSignature):
		return "it was changed or cut on its way, or somebody else signed it"
	case errors.Is(refused, jose.ErrShape):
		return "an opaque token is checked by asking its issuer: use --introspect or --userinfo"
	case errors.Is(refused, remote.ErrContradiction):
		return "an issuer that says such things cannot be relied on"
	}
	return ""
}

// oneLine keeps a claim with line breaks from looking like more output of ours.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, s)
}

func printJSON(w io.Writer, answer any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(answer); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

func within(env *cli.Env, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(env.Dir, path)
}
