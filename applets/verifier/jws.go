package verifier

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

type jwsCmd struct {
	JWKS      string `name:"jwks" required:"" placeholder:"FILE" help:"Keys (a JWK set) one of which has to have signed."`
	TokenFile string `placeholder:"FILE" help:"Where the compact JWS is, - for standard input, the default."`
	JSON      bool   `name:"json" help:"Print the answer and the payload as JSON."`

	// Rest catches a token that was put here, so that it is refused and not repeated.
	Rest []string `arg:"" optional:"" name:"none" help:"None. A token is no argument: everybody here could read it."`
}

// jwsAnswer is what --json prints. The payload is there only when the signature is right: as it is when it is one strict
// JSON object, else in base64url.
type jwsAnswer struct {
	Valid         bool            `json:"valid"`
	Reason        string          `json:"reason,omitempty"`
	Alg           jose.Alg        `json:"alg,omitempty"`
	KeyID         string          `json:"kid,omitempty"`
	Type          string          `json:"typ,omitempty"`
	Payload       json.RawMessage `json:"payload,omitempty"`
	PayloadBase64 string          `json:"payload_base64,omitempty"`
}

// Run exits with 0 for a right signature, 1 for a wrong one and 2 for wrong usage. Nothing else is judged.
func (c *jwsCmd) Run(_ context.Context, env *cli.Env) error {
	if len(c.Rest) > 0 {
		return tokenInArguments(c.Rest[0])
	}
	keys, err := fileKeys(env, c.JWKS)
	if err != nil {
		return err
	}
	if c.TokenFile == "" {
		c.TokenFile = "-"
	}
	if err := refuseTerminal(env, c.TokenFile); err != nil {
		return err
	}
	token, err := readToken(env, c.TokenFile)
	if err != nil {
		return err
	}
	m, err := signedBy(keys, token)
	return c.report(env, m, err)
}

// signedBy returns the message when one of keys has signed it.
func signedBy(keys *jose.KeySet, token []byte) (*jose.Message, error) {
	m, err := jose.Parse(token)
	if err != nil {
		return nil, err
	}
	err = verify.ErrNoKey
	for _, k := range keys.Candidates(m.Header) {
		if err = m.Verify(k); err == nil {
			return m, nil
		}
	}
	return nil, err
}

func (c *jwsCmd) report(env *cli.Env, m *jose.Message, refused error) error {
	if refused != nil {
		if c.JSON {
			if err := printJSON(env.Stdout, jwsAnswer{Reason: verify.Reason(refused)}); err != nil {
				return err
			}
		}
		return cli.Fail(cli.No, errors.New("signature refused: "+verify.Reason(refused)), "")
	}
	if c.JSON {
		return printJSON(env.Stdout, newJWSAnswer(m))
	}
	by := string(m.Header.Alg)
	if m.Header.KeyID != "" {
		by += " with key " + m.Header.KeyID
	}
	_, err := fmt.Fprintln(env.Stdout, cli.Printable(oneLine("signature is right: "+by+"; the claims were not judged")))
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

func newJWSAnswer(m *jose.Message) jwsAnswer {
	a := jwsAnswer{Valid: true, Alg: m.Header.Alg, KeyID: m.Header.KeyID, Type: m.Header.Type}
	if _, err := jose.StrictObject(m.Payload, jose.PayloadDepth, jose.PayloadMembers); err != nil {
		a.PayloadBase64 = base64.RawURLEncoding.EncodeToString(m.Payload)
	} else {
		a.Payload = json.RawMessage(m.Payload)
	}
	return a
}
