package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
)

var errNoToken = errors.New("the agent answered without a token")

// Names of the variables of -c and of -o -i -e without a name.
const (
	varToken   = "OIDC_AT"
	varIssuer  = "OIDC_ISS"
	varExpires = "OIDC_EXP"
)

func readMytoken(rep *proto.Reply) (result, error) {
	var m struct {
		Mytoken       string `json:"mytoken"`
		MytokenIssuer string `json:"mytoken_issuer"`
		ExpiresAt     int64  `json:"expires_at"`
	}
	err := rep.Mytoken.Use(func(b []byte) error { return json.Unmarshal(b, &m) })
	if err != nil || m.Mytoken == "" {
		return result{}, errNoToken
	}
	return result{
		member: "mytoken", value: secret.FromString(m.Mytoken), issuer: m.MytokenIssuer, expires: m.ExpiresAt,
	}, nil
}

// print is what goes to standard output. The caller wipes it.
func (c *Cmd) print(r result) (out []byte, err error) {
	err = r.value.Use(func(value []byte) error {
		out, err = c.format(r, value)
		return err
	})
	return out, err
}

func (c *Cmd) format(r result, value []byte) ([]byte, error) {
	// Large enough to hold everything once: growing would leave a copy of the token behind.
	out := make([]byte, 0, 2*len(value)+2*len(r.issuer)+2*len(r.scope)+256)
	expires := strconv.FormatInt(r.expires, 10)
	switch {
	case c.JSON:
		return jsonObject(out, r, value)
	case c.All:
		out = append(append(out, value...), '\n')
		return append(out, r.issuer+"\n"+expires+"\n"...), nil
	case c.AuthHeader:
		return append(append(out, "Authorization: Bearer "...), value...), nil
	case c.Bearer:
		return append(append(append(out, "Bearer "...), value...), '\n'), nil
	case c.assigns():
		return c.assignments(out, [3][]byte{value, []byte(r.issuer), []byte(expires)}), nil
	case c.Issuer != nil:
		return append(out, r.issuer+"\n"...), nil
	case c.ExpiresAt != nil:
		return append(out, expires+"\n"...), nil
	}
	return append(append(out, value...), '\n'), nil
}

// assigns reports that the result is for a shell: more than one value, or a name attached to one.
func (c *Cmd) assigns() bool {
	asked := 0
	for _, opt := range []*string{c.Token, c.Issuer, c.ExpiresAt} {
		if opt != nil {
			asked++
		}
		if variable(opt) != "" {
			return true
		}
	}
	return c.Env || asked > 1
}

func (c *Cmd) assignments(out []byte, values [3][]byte) []byte {
	for _, a := range []struct {
		opt   *string
		name  string
		value []byte
	}{
		{c.Token, varToken, values[0]},
		{c.Issuer, varIssuer, values[1]},
		{c.ExpiresAt, varExpires, values[2]},
	} {
		if a.opt == nil && !c.Env {
			continue
		}
		name := a.name
		if v := variable(a.opt); v != "" {
			name = v
		}
		out = append(append(out, name...), '=')
		out = appendQuoted(out, a.value)
		out = append(append(append(out, "; export "...), name...), ";\n"...)
	}
	return out
}

// appendQuoted appends a word for a shell. Tokens and issuers are made of harmless characters and stay as they are, as
// scripts expect; a provider that sends others must not get at the shell. A shell expands "~" at the start of a word
// and after a colon.
func appendQuoted(out, word []byte) []byte {
	harmless := len(word) > 0
	for _, b := range word {
		harmless = harmless && (b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' ||
			bytes.IndexByte([]byte("-._+/=:@%,"), b) >= 0)
	}
	if harmless {
		return append(out, word...)
	}
	out = append(out, '\'')
	for _, b := range word {
		if b == '\'' {
			out = append(out, `'\''`...)
			continue
		}
		out = append(out, b)
	}
	return append(out, '\'')
}

// jsonObject is the result for programs. An ID token comes without a time of its own.
func jsonObject(out []byte, r result, value []byte) ([]byte, error) {
	quoted, err := json.Marshal(string(value))
	if err != nil {
		return nil, err
	}
	defer clear(quoted)
	issuer, err := json.Marshal(r.issuer)
	if err != nil {
		return nil, err
	}
	out = append(append(append(out, `{"`+r.member+`":`...), quoted...), `,"issuer":`...)
	out = append(out, issuer...)
	if r.scope != "" {
		scope, err := json.Marshal(r.scope)
		if err != nil {
			return nil, err
		}
		out = append(append(out, `,"scope":`...), scope...)
	}
	if r.member != "id_token" {
		out = strconv.AppendInt(append(out, `,"expires_at":`...), r.expires, 10)
	}
	if r.saved != "" {
		out = append(out, `,"saved":"`+r.saved+`"`...)
	}
	return append(out, "}\n"...), nil
}
