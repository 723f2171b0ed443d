package ledger

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// What a thief of the file finds, and one of the file and the server's own key: no refresh token, and no mytoken.
func TestStolen(t *testing.T) {
	path := boltPath(t)
	inner := openBolt(t, path)
	b := newBed(t, inner, Options{})
	jwt, tok := b.begin(nil, rotating())
	_, n, err := b.access(jwt) // the answer for the replaced one is kept now
	if err != nil {
		t.Fatal(err)
	}
	code, err := b.MakeCode(t.Context(), NewCode{Kind: TransferCode, Length: 8, TTL: time.Minute, Secret: n.JWT, Owner: tok.MOMID})
	if err != nil {
		t.Fatal(err)
	}
	key, err := b.present(n.JWT).loginKey()
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"refresh token": firstRT, "mytoken": jwt.Expose(), "newest mytoken": n.JWT.Expose(), "jti": n.Claims.ID,
		"key of the login": key.Expose(), "code": code.Text.Expose(), "access token": "access-1",
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	search(t, "file", file, secrets)
	if bytes.Contains(file, []byte("alice")) || bytes.Contains(file, []byte("192.0.2.7")) {
		t.Error("the file alone names people")
	}
	rows := 0
	for _, name := range []string{
		tableUsers, tableLogins, tableTokens, tableStates, tableEvents, tableCodes, tableAliases, "custody",
	} {
		err := b.eng.View(t.Context(), func(tx store.Tx) error {
			for r, err := range tx.Scan(table(name), nil) {
				if err != nil {
					return err
				}
				rows++
				search(t, name, r.Value, secrets)
			}
			return nil
		})
		if err != nil && name != "custody" {
			t.Error(err)
		}
	}
	if rows < 8 {
		t.Errorf("only %d rows were opened: the test does not test", rows)
	}
	// The rows of custody stay shut for whoever guesses a key, and the box of a state for any other text.
	if _, err := (&box{Salt: make([]byte, saltSize), Data: make([]byte, 64)}).open(jwt, forKey, tok.MOMID); !errors.Is(err, store.ErrSealed) {
		t.Errorf("%v", err)
	}
	p := b.present(n.JWT)
	if _, err := p.key.open(jwt, forKey, tok.MOMID); !errors.Is(err, store.ErrSealed) {
		t.Errorf("the key of the login under the mytoken that was replaced: %v", err)
	}
	if _, err := p.key.open(n.JWT, forKey, "another"); !errors.Is(err, store.ErrSealed) {
		t.Errorf("the key of the login moved to another mytoken: %v", err)
	}
}

func search(t *testing.T, where string, in []byte, secrets map[string]string) {
	t.Helper()
	for name, s := range secrets {
		if bytes.Contains(in, []byte(s)) {
			t.Errorf("%s has the %s", where, name)
		}
	}
}
