package form

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"strings"
	"testing"
)

func TestLooksLike(t *testing.T) {
	sum := sha512.Sum512([]byte("token"))
	compat := hex.EncodeToString(sum[:])
	own := string(New())
	other := own[:len(own)-1] + "0"
	if other == own {
		other = own[:len(own)-1] + "1"
	}
	for _, c := range []struct {
		name, in string
		want     Kind
	}{
		{"nothing", "", Other},
		{"a password", "correct horse battery staple", Other},
		{"sha512 of a token", compat, CompatForm},
		{"sha512 in capitals", strings.ToUpper(compat), Other},
		{"sha512 with a digit too few", compat[1:], Other},
		{"sha512 with a line end", compat + "\n", Other},
		{"128 other characters", strings.Repeat("z", 128), Other},
		{"ours", own, Own},
		{"ours in capitals", strings.ToUpper(own), Own},
		{"ours with a wrong checksum", other, Other},
		{"ours with something after it", own + "0", Other},
		{"ours with a blank before it", " " + own, Other},
		{"ours without its prefix", own[4:], Other},
		{"the prefix alone", Prefix, Other},
		{"the length of ours", strings.Repeat("x", Length), Other},
		{"a signed token", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", JWT},
		{"a token without a signature", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.", Other},
		{"a token with two parts", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0", Other},
		{"an encrypted token", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln.c2ln.c2ln", Other},
		{"a token with a blank", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIi iJhIn0.c2ln", Other},
		{"a token with an empty part", "eyJhbGciOiJFUzI1NiJ9..c2lnYXR1cmU", Other},
		{"what sshd sends for unknown users", "\b\n\r\x7fINCORRECT\b\n\r\x7fINCORRECT\b\n", Other},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := LooksLike([]byte(c.in)); got != c.want {
				t.Errorf("%q looks like %v, want %v", c.in, got, c.want)
			}
		})
	}
}

func TestCanonical_takes_letters_for_the_digits_they_look_like(t *testing.T) {
	for range 200 {
		own := New()
		typed := bytes.ToUpper(own)
		body := typed[len(Prefix):]
		copy(body, bytes.ReplaceAll(bytes.ReplaceAll(body, []byte("0"), []byte("O")), []byte("1"), []byte("l")))
		got, ok := Canonical(typed)
		if !ok || !bytes.Equal(got, own) {
			t.Fatalf("%s became %s (%v)", own, got, ok)
		}
	}
}

func TestCanonical_notices_every_typo_of_one_character(t *testing.T) {
	own := New()
	for i := len(Prefix); i < len(own); i++ {
		for _, c := range []byte(alphabet) {
			if c == own[i] {
				continue
			}
			wrong := bytes.Clone(own)
			wrong[i] = c
			if _, ok := Canonical(wrong); ok {
				t.Errorf("%s passes for %s", wrong, own)
			}
		}
	}
}

func TestNew_never_repeats(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		own := string(New())
		if seen[own] || len(own) != Length || LooksLike([]byte(own)) != Own {
			t.Fatalf("%s", own)
		}
		seen[own] = true
	}
}

func FuzzLooksLike(f *testing.F) {
	f.Add(New())
	f.Add([]byte("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"))
	f.Add(bytes.Repeat([]byte("0"), 128))
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		kind := LooksLike(in)
		if !bytes.Equal(in, before) {
			t.Fatal("the secret was changed")
		}
		for _, c := range in {
			if kind != Other && (c <= ' ' || c > '~') {
				t.Fatalf("%q looks like %v", in, kind)
			}
		}
		if c, ok := Canonical(in); ok {
			again, ok := Canonical(c)
			if kind != Own || !ok || !bytes.Equal(again, c) {
				t.Fatalf("%q is not its own canonical spelling", c)
			}
		}
	})
}
