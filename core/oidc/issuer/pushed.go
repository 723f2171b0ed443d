package issuer

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store"
)

const (
	requestPrefix = "urn:ietf:params:oauth:request_uri:"
	pushedTTL     = time.Minute
)

func pushedTable() store.Table { return store.Table{Name: "issuer.pushed"} }

// pushedRow is an authorization request that waits for its browser.
type pushedRow struct {
	Client  string     `json:"client"`
	Query   url.Values `json:"query"`
	Expires int64      `json:"exp"`
}

// push takes an authorization request from the client itself (RFC 9126 section 2). It is checked as one that a browser
// brings, and nobody is asked yet.
func (i *Issuer) push(w http.ResponseWriter, r *http.Request) error {
	q, c, err := i.clientForm(w, r)
	if err != nil {
		return err
	}
	if q.Has("request_uri") {
		return badRequest("request_uri cannot be pushed")
	}
	for _, name := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		q.Del(name)
	}
	q.Set("client_id", c.ID)
	req := authRequest{client: c, redirectURI: q.Get("redirect_uri")}
	if !c.redirects(req.redirectURI) {
		return badRequest("redirect_uri is not registered for this application")
	}
	if err := i.fillAuthRequest(&req, q); err != nil {
		return err
	}
	if err := i.pushed.take(r.Context(), i); err != nil {
		return err
	}
	uri, until := requestPrefix+random(32), i.o.Now().Add(pushedTTL)
	err = i.o.Engine.Update(r.Context(), func(tx store.WTx) error {
		return save(tx, slot{pushedTable(), digest(uri), until}, pushedRow{c.ID, q, until.Unix()})
	})
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return httpd.WriteJSON(w, http.StatusCreated, map[string]any{
		"request_uri": uri, "expires_in": int(pushedTTL.Seconds()),
	})
}

// pulled puts what was pushed in the place of the reference that a browser brings, which is good once.
func (i *Issuer) pulled(r *http.Request) (*http.Request, error) {
	q, err := readParams(r.URL.RawQuery)
	if err != nil || !strings.HasPrefix(q.Get("request_uri"), requestPrefix) {
		return r, nil // what it is says who reads it
	}
	var row pushedRow
	var ok bool
	key := digest(q.Get("request_uri"))
	err = i.o.Engine.Update(r.Context(), func(tx store.WTx) (err error) {
		if row, ok, err = loadForUpdate[pushedRow](tx, pushedTable(), key); err != nil || !ok {
			return err
		}
		return tx.Delete(pushedTable(), store.Key{key})
	})
	if err != nil {
		return nil, err
	}
	if !ok || row.Client != q.Get("client_id") || i.o.Now().Unix() >= row.Expires {
		return nil, badRequest("request_uri is not known, was used, or is too old")
	}
	out := r.Clone(r.Context())
	// It chooses who is asked and nothing else, so it may stand beside the reference, where a test puts it.
	if hint := q.Get("login_hint"); hint != "" && !row.Query.Has("login_hint") {
		row.Query.Set("login_hint", hint)
	}
	out.URL.RawQuery = row.Query.Encode()
	return out, nil
}
