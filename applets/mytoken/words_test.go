package mytoken

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/secret"
)

func TestEdit(t *testing.T) {
	now := []string{"a", "b"}
	for name, c := range map[string]struct {
		e    edit
		want []string
	}{
		"nothing_said":  {edit{}, nil},
		"all_new":       {edit{all: []string{"c"}}, []string{"c"}},
		"none_any_more": {edit{all: []string{""}}, []string{}},
		"added":         {edit{add: []string{"c", "a"}}, []string{"a", "b", "c"}},
		"dropped":       {edit{drop: []string{"a", "x"}}, []string{"b"}},
		"both":          {edit{add: []string{"c"}, drop: []string{"b"}}, []string{"a", "c"}},
	} {
		if got := c.e.of(now); !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if !slices.Equal(now, []string{"a", "b"}) {
		t.Error("the list was changed")
	}
}

func TestChosen(t *testing.T) {
	words, now := []string{"one", "two", "3rd"}, []string{"two"}
	for answer, want := range map[string][]string{
		"": {"two"}, "1": {"one"}, "1, 3rd": {"one", "3rd"}, "two 2": {"two"}, " \t": {"two"},
	} {
		if got, err := chosen(answer, words, now); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q %v", answer, got, err)
		}
	}
	for _, answer := range []string{"0", "4", "none", "-1", "1x"} {
		if got, err := chosen(answer, words, now); err == nil {
			t.Errorf("%q: %q", answer, got)
		}
	}
}

// oldSealed begins, and with oldBody is, what an independent program made of a mytoken and the password "correct horse".
const (
	oldSealed = "AAECAwQFBgcICQoLDA0ODw==-AAECAwQFBgcICQoL-"
	oldBody   = "+xmihQDWwS+8z+RwNgEhV0/4GJelp/PyhDPsQaSddnH+L1Hpv4/pC8tY9X0BM6e02YOs21YDhajLMF5WWYnRclv2VndAwjYbpKAl" +
		"DgQrZfcyKESKHziHS70iNvoaTioIMi1p7xXSL9ROc/wUzKShqbMNnQGVnkDOVNEgH5wj5jLc5+wdAkskK7mGZovfZrn9qgYCewbqHZy0M1g2" +
		"J3V8HvlkeUGoOXU5KxatK0O+6LXm5LjlZeYWfE1syhzhig=="
)

func TestOldCipher(t *testing.T) {
	password := secret.FromString("correct horse")
	mt, err := openOld(oldSealed+oldBody, password)
	want := "eyJhbGciOiJFUzUxMiJ9." + strings.Repeat("e", 64) + "." + strings.Repeat("s", 88)
	if err != nil || mt.Expose() != want {
		t.Errorf("%v %q", err, mt.Expose())
	}
	if _, err := openOld(oldSealed+oldBody, secret.FromString("correct hors")); !errors.Is(err, errOldPassword) {
		t.Errorf("another password: %v", err)
	}
	for name, text := range map[string]string{
		"empty": "", "two_parts": "YQ==-YQ==", "no_base64": "!-!-!", "short_salt": "YQ==-AAECAwQFBgcICQoL-YQ==",
		"short_nonce": "AAECAwQFBgcICQoLDA0ODw==-YQ==-YQ==",
	} {
		if _, err := openOld(text, password); !errors.Is(err, errOldCipher) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := openOld(oldSealed+"AAAAAAAAAAAAAAAAAAAAAAAAAAA=", password); !errors.Is(err, errOldPassword) {
		t.Errorf("changed: %v", err)
	}
	if _, ok := pgpMessage("-----BEGIN PGP MESSAGE-----\n..."); !ok {
		t.Error("an armoured message is not seen")
	}
	if _, ok := pgpMessage(oldSealed); ok || strings.Contains(oldSealed, "PGP") {
		t.Error("a password form is taken for a message")
	}
}
