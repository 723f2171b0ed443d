package provisioner

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// who says whose a token is. One that is not believed any more is told by what it says of itself: an officer who finds a
// token somewhere wants to stop its owner, expired or not.
func (d *server) who(r *http.Request, g *generation, b []byte) (any, error) {
	var order whoOrder
	if json.Unmarshal(b, &order) != nil || order.Token == "" {
		return nil, httpd.Refuse(http.StatusBadRequest, codeBad, "the body has to be an object with token")
	}
	token := secret.FromString(order.Token)
	defer token.Wipe()
	v := whoView{State: state.NotDeployed}
	said := gate.ClaimedBy([]byte(order.Token), jose.MaxToken)
	service := ""
	if said != nil {
		service = said.Issuer
	}
	out, err := g.gate.Check(r.Context(), gate.Presented{Token: token, Scheme: gate.Bearer}, service)
	switch {
	case err == nil:
		v.Believed, v.Iss, v.Sub = true, out.Identity.Issuer, out.Identity.Subject
		if users := g.users[v.Iss]; users != nil {
			v.Authorised = users.Decide(out.Subject, policy.Request{}).Allowed
		}
	case said != nil:
		v.Iss, v.Sub, v.Reason = said.Issuer, said.Subject, gate.RefusalOf(err).Reason()
	default:
		v.Reason = gate.RefusalOf(err).Reason()
		return v, nil
	}
	return g.known(r.Context(), v)
}

// known adds what is known here about who a token names.
func (g *generation) known(ctx context.Context, v whoView) (any, error) {
	var err error
	if v.ID, err = names.Encode(v.Sub, v.Iss); err != nil {
		return v, nil //nolint:nilerr // it names nobody that could have an account
	}
	e, err := g.desk.Show(ctx, v.ID)
	switch {
	case err == nil:
		v.Name, v.State = e.Name, e.State
	case !errors.Is(err, provision.ErrNoIdentity):
		return nil, err
	}
	return v, nil
}

// codeOf tells a failure that asking again does not mend from one that may pass.
func codeOf(err error) string {
	if errors.Is(err, backend.ErrEditable) {
		return codeEditable
	}
	return codeFailed
}
