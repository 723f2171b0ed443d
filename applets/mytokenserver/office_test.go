package mytokenserver

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli/setup"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// writing is what is kept beside the ledger of a person whose job makes something anew for as long as it has a mytoken
// that is good.
type writing struct {
	ledger *ledger.Ledger
	left   bool
}

func (w *writing) Erase(ctx context.Context, user string) error {
	_, err := w.ledger.User(ctx, user)
	w.left = err == nil
	if errors.Is(err, ledger.ErrUnknown) {
		return nil
	}
	return err
}

// TestEraseBesideARunningJob: what is made while a person is being erased is erased as well.
func TestEraseBesideARunningJob(t *testing.T) {
	const issuer, op = "https://mytoken.example.org", "https://op.example.org"
	dir := filepath.Join(t.TempDir(), "keys")
	if err := setup.MakePrivateDir(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := makeKey(dir, mint.DefaultAlg, time.Now()); err != nil {
		t.Fatal(err)
	}
	keys, err := loadKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	signs, err := newSigner(issuer, keys)
	if err != nil {
		t.Fatal(err)
	}
	l := ledger.New(memstore.New(), ledger.Options{Minter: signs, Verify: signs.Genuine})
	jwt, claims, err := signs.Issue(mint.Order{
		OIDCIssuer: op, OIDCSubject: "alice", Capabilities: []string{rules.AT}, AuthTime: time.Now(), Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	login := ledger.Login{Refresh: secret.FromString("a-refresh-token")}
	if _, err = l.Begin(t.Context(), login, ledger.Grant{JWT: jwt, Claims: claims}); err != nil {
		t.Fatal(err)
	}
	beside := &writing{ledger: l}
	o := ownOffice{ledger: l, notices: beside}
	if err := o.Erase(t.Context(), ledger.UserID(op, "alice")); err != nil {
		t.Fatal(err)
	}
	if beside.left {
		t.Error("what was made meanwhile is left")
	}
}
