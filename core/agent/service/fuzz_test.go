package service

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// FuzzRequest sends requests of all types with hostile members to an agent that reaches no provider: each is answered,
// nothing panics, and a failure says so in the way clients look for.
func FuzzRequest(f *testing.F) {
	kinds := []string{
		proto.TypeAccessToken, proto.TypeIDToken, proto.TypeMytoken, proto.TypeAccountInfo, proto.TypeAdd, proto.TypeRemove,
		proto.TypeGen, proto.TypeReauthenticate, proto.TypeCodeExchange, proto.TypeStateLookup, proto.TypeDevice,
		proto.TypeRegister, proto.TypeDelete, proto.TypeDeleteClient, proto.TypeScopes, proto.TypeTermHTTPServer,
		proto.TypeFileWrite, proto.TypeFileRead, proto.TypeFileRemove, proto.TypeStatus, "",
	}
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		f.Fatal(err)
	}
	s, err := New(Options{
		Vault: v, Memory: memstore.New(),
		HTTP: func(string) (*httpc.Client, error) { return nil, errors.New("no network here") },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			f.Error(err)
		}
	})
	for i := range kinds {
		f.Add(uint(i), "a", "https://op.example.org", `{"name":"a","issuer_url":"https://op.example.org","client_id":"c"}`, int64(-1))
	}
	f.Add(uint(4), "../x", "", `{"name":"../x"}`, int64(1)<<62)
	f.Add(uint(8), "", "", `http://localhost/?state=x&code=%zz`, int64(0))
	f.Add(uint(10), "", "", `{"device_code":"x"}`, int64(0))
	f.Fuzz(func(t *testing.T, kind uint, name, text, object string, n int64) {
		rep := s.Handle(t.Context(), sock.Peer{}, proto.Request{
			Type: kinds[kind%uint(len(kinds))], Account: name, Issuer: text, Scope: text, Audience: name, Hint: text,
			State: text, Filename: name, ConfigEndpoint: text, CertPath: name, RegistrationClientURI: text,
			Flow: strings.Fields(text), MinValid: n, Lifetime: n, HasLifetime: n%2 == 0, OnlyAT: n%3 == 0,
			Config: secret.FromString(object), Device: secret.FromString(object), RedirectURI: secret.FromString(object),
			Data: secret.FromString(object), RegistrationAccessToken: secret.FromString(name),
		})
		if rep.Status == "" || (rep.Status == proto.StatusFailure) != (rep.Error != "") {
			t.Errorf("status %q with error %q", rep.Status, rep.Error)
		}
		rep.Wipe()
	})
}
