package jose

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

type vector struct {
	ID, Group, Comment, Token, JWS, Policy string
	JWKS                                   json.RawMessage
	Payload                                *string
}

func vectors(t *testing.T, name string) []vector {
	t.Helper()
	b, err := os.ReadFile("../../../testdata/jwt/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Count int
		Cases []vector
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != file.Count || file.Count == 0 {
		t.Fatalf("%s has %d cases and says %d", name, len(file.Cases), file.Count)
	}
	return file.Cases
}

// either says what we answer where the vectors leave both answers open, and why.
func either() map[string]struct {
	valid bool
	why   string
} {
	return map[string]struct {
		valid bool
		why   string
	}{
		"json_web_key_test:7": {false, "the key has the mark of ROCA"},
		"json_web_signature_test:346": {
			false,
			"the key says PS256 and the header PS384: one key, one algorithm (RFC 8725 section 3.1)",
		},
		"json_web_signature_test:347": {false, "the key's alg is ES521, which is no algorithm"},
		"json_web_signature_test:350": {false, "the key says PS256 and the header PS384"},
		"rfc8037-A.4": {
			true,
			"no kid in token and key: the one key that fits is tried; profiles that want kid refuse later",
		},
	}
}

// TestVectors runs every message of the two vector files through the signature layer: parse, choose a key, verify.
func TestVectors(t *testing.T) {
	open := either()
	for _, file := range []string{"wycheproof_jws.json", "rfc_jws.json"} {
		for _, v := range vectors(t, file) {
			t.Run(v.ID, func(t *testing.T) {
				payload, err := accept([]byte(v.Token), v.JWKS)
				want := v.Policy == "valid"
				if v.Policy == "either" {
					e, ok := open[v.ID]
					if !ok {
						t.Fatalf("nothing is written down about this case: %v", err)
					}
					want = e.valid
				}
				if got := err == nil; got != want {
					t.Fatalf("%s %s: accepted %v, want %v (%v)", v.Group, v.Comment, got, want, err)
				}
				if err == nil && v.Payload != nil && string(payload) != *v.Payload {
					t.Errorf("payload %q, want %q", payload, *v.Payload)
				}
			})
		}
	}
}

func accept(token, jwks []byte) ([]byte, error) {
	m, err := Parse(token)
	if err != nil {
		return nil, err
	}
	set, skipped, err := ParseKeySet(jwks)
	if err != nil {
		return nil, err
	}
	err = errors.Join(append(skipped, errors.New("no key"))...)
	for _, k := range set.Candidates(m.Header) {
		if err = m.Verify(k); err == nil {
			return m.Payload, nil
		}
	}
	return nil, err
}

// TestVectorsAreUsed guards against a file that lost its valid cases: a parser that refuses everything must fail.
func TestVectorsAreUsed(t *testing.T) {
	valid := 0
	for _, v := range append(vectors(t, "wycheproof_jws.json"), vectors(t, "rfc_jws.json")...) {
		if v.Policy == "valid" && strings.Count(v.Token, ".") == 2 {
			valid++
		}
	}
	if valid < 15 {
		t.Errorf("%d valid compact vectors", valid)
	}
}
