package service

import (
	"context"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// BenchmarkCachedToken is what decides that cached tokens are kept sealed: opening one is a small part of a request.
func BenchmarkCachedToken(b *testing.B) {
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Options{Vault: v, Memory: memstore.New()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(context.Background())
	l, err := s.logins.add(loaded{name: "a", issuer: "https://op.example.org"})
	if err != nil {
		b.Fatal(err)
	}
	access := make([]byte, 1000)
	s.tokens.put(keyOf(l, want{}), token{access: secret.New(access), expires: time.Now().Add(time.Hour)})
	req := proto.Request{Type: proto.TypeAccessToken, Account: "a"}
	b.ReportAllocs()
	for b.Loop() {
		rep, ok := s.HandleNow(b.Context(), sock.Peer{}, req)
		if !ok || rep.AccessToken.Len() != len(access) {
			b.Fatal(rep.Error)
		}
		rep.Wipe()
	}
}
