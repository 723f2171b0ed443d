package issuer

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/store"
)

const (
	typeAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// maxAssertion is how long a statement of a client may be good for; so long each is remembered.
	maxAssertion = 5 * time.Minute
)

func assertionTable() store.Table { return store.Table{Name: "issuer.assertions"} }

// asserted finds the client that has signed the assertion of a form (RFC 7523 section 3), and that nothing else
// authenticates. Each assertion is good once.
func (i *Issuer) asserted(ctx context.Context, q url.Values) (party, error) {
	refused := func() (party, error) { return party{}, errClient(i.o.URL, false) }
	if q.Get("client_assertion_type") != typeAssertion || q.Get("client_secret") != "" {
		return refused()
	}
	m, err := jose.Parse([]byte(q.Get("client_assertion")))
	if err != nil {
		return refused()
	}
	o, err := jose.StrictObject(m.Payload, jose.PayloadDepth, jose.PayloadMembers)
	if err != nil {
		return refused()
	}
	id, _ := o.String("sub")
	iss, _ := o.String("iss")
	if id == "" || iss != id || q.Get("client_id") != "" && q.Get("client_id") != id {
		return refused()
	}
	p, ok, err := i.party(ctx, id)
	if err != nil {
		return party{}, err
	}
	if !ok || p.Keys == nil || !signedBy(m, p.Keys) || !i.forUs(o) {
		i.o.Log.Info("client authentication failed", "op", "assertion", "known", ok)
		return refused()
	}
	fresh, err := i.once(ctx, id, o)
	if err != nil {
		return party{}, err
	}
	if !fresh {
		return refused()
	}
	return p, nil
}

func signedBy(m *jose.Message, keys *jose.KeySet) bool {
	return slices.ContainsFunc(keys.Candidates(m.Header), func(k *jose.PublicKey) bool { return m.Verify(k) == nil })
}

// forUs reports whether an assertion is for this issuer and in time.
func (i *Issuer) forUs(o jose.Object) bool {
	aud, err := o.OneOrMore("aud")
	if err != nil || len(aud) != 1 || aud[0] != i.o.URL && aud[0] != i.endpoint("/token") {
		return false
	}
	exp, err := o.Time("exp")
	now := i.o.Now()
	return err == nil && now.Before(exp) && exp.Sub(now) <= maxAssertion
}

// once notes an assertion, and reports whether it is new.
func (i *Issuer) once(ctx context.Context, client string, o jose.Object) (fresh bool, err error) {
	id, _ := o.String("jti")
	if id == "" {
		return false, nil
	}
	if err := i.assertions.take(ctx, i); err != nil {
		return false, err
	}
	key := digest(client + "\x00" + id)
	err = i.o.Engine.Update(ctx, func(tx store.WTx) error {
		_, seen, err := loadForUpdate[struct{}](tx, assertionTable(), key)
		if fresh = !seen; err != nil || seen {
			return err
		}
		return save(tx, slot{assertionTable(), key, i.o.Now().Add(maxAssertion)}, struct{}{})
	})
	return fresh, err
}
