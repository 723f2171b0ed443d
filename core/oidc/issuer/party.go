package issuer

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
)

// party is a client as the engine knows it, from the options or from a registration. The secret is kept as a hash.
type party struct {
	Client
	SecretHash string // "": public
	reg        *registration
}

func (p party) public() bool { return p.SecretHash == "" && p.Keys == nil }

// party finds a client by its id.
func (i *Issuer) party(ctx context.Context, id string) (party, bool, error) {
	for _, c := range i.o.Clients {
		if c.ID != id {
			continue
		}
		p := party{Client: c}
		if !c.Secret.Empty() {
			p.SecretHash = digest(c.Secret.Expose())
		}
		return p, true, nil
	}
	reg, ok, err := find[registration](ctx, i, clientTable(), id)
	if !ok || err != nil {
		return party{}, false, err
	}
	return reg.party(), true, nil
}

// clientForm reads a POST that a client sends in its own name, and who that is.
func (i *Issuer) clientForm(w http.ResponseWriter, r *http.Request) (url.Values, party, error) {
	q, err := readForm(w, r)
	if err != nil {
		return nil, party{}, err
	}
	c, err := i.authenticate(r, q)
	return q, c, err
}

// authenticate finds the client that sent the form, by HTTP Basic, by the form (RFC 6749 section 2.3.1) or by an
// assertion (RFC 7523), never two of them. A client with keys has no other way.
// A public client only names itself.
func (i *Issuer) authenticate(r *http.Request, q url.Values) (party, error) {
	if r.Header.Get("Authorization") == "" && q.Has("client_assertion") {
		return i.asserted(r.Context(), q)
	}
	id, given, basic, err := credentials(r, q)
	if err != nil {
		return party{}, err
	}
	if id == "" {
		return party{}, errClient(i.o.URL, basic)
	}
	p, ok, err := i.party(r.Context(), id)
	if err != nil {
		return party{}, err
	}
	want := p.SecretHash
	match := subtle.ConstantTimeCompare([]byte(digest(given)), []byte(want)) == 1
	switch {
	case !ok, p.Keys != nil, want == "" && given != "", want != "" && !match:
		i.o.Log.Info("client authentication failed", "op", "authenticate", "known", ok)
		return party{}, errClient(i.o.URL, basic)
	}
	return p, nil
}

func credentials(r *http.Request, q url.Values) (id, given string, basic bool, err error) {
	id, given = q.Get("client_id"), q.Get("client_secret")
	if q.Has("client_assertion") || q.Has("client_assertion_type") {
		return "", "", false, badRequest("the client authenticates in two ways at once")
	}
	user, pass, basic := r.BasicAuth()
	if !basic {
		if r.Header.Get("Authorization") != "" {
			return "", "", true, nil
		}
		return id, given, false, nil
	}
	if given != "" {
		return "", "", true, badRequest("the client authenticates in two ways at once")
	}
	user, err1 := url.QueryUnescape(user)
	pass, err2 := url.QueryUnescape(pass)
	if err1 != nil || err2 != nil || id != "" && id != user {
		return "", "", true, nil // refused as an unknown client
	}
	return user, pass, true, nil
}

// bearer returns the token of the Authorization header, "" when there is none.
func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}
