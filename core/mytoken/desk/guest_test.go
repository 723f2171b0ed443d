package desk_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/secret"
)

// A guest is whoever comes from an address: everybody behind it is one person, and another address is another one.
func TestGuest(t *testing.T) {
	guests := &upstream.Guest{
		Issuer: server + upstream.GuestPath, RedirectURI: server + "/redirect", Key: secret.New(make([]byte, 32)),
	}
	reg, err := upstream.New(nil, upstream.Options{Guest: guests})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Close)
	b := newBed(t, setup{desk: func(o *desk.Options) { o.Upstream = reg }})
	login := func(addr string) *desk.Issued {
		t.Helper()
		begun, err := b.Begin(t.Context(), b.ask(map[string]any{"oidc_issuer": server + upstream.GuestPath + "/"}),
			desk.Caller{Origin: from(addr)})
		if err != nil {
			t.Fatal(err)
		}
		to := b.agree(begun)
		r := httptest.NewRequest(http.MethodGet, to.URL, nil)
		w := httptest.NewRecorder()
		guests.ServeHTTP(w, r)
		back, err := url.Parse(w.Header().Get("Location"))
		if err != nil || w.Code/100 != 3 {
			t.Fatal(w.Code, err)
		}
		in := desk.Arrival{Query: back.Query(), Binding: to.Binding, From: from(addr)}
		if _, err := b.LandIn(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		i, err := b.Poll(t.Context(), begun.PollingCode, from(addr))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	one, same, other := login("192.0.2.7"), login("192.0.2.7"), login("192.0.2.8")
	if b.find(one.MOMID).User != b.find(same.MOMID).User || b.find(one.MOMID).User == b.find(other.MOMID).User {
		t.Error("guests are told apart by something else than their address")
	}
	if at, err := b.access(one, desk.AccessRequest{}); err != nil || at.Token.Empty() {
		t.Error(err)
	}
}
