package jose

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStrictObject(t *testing.T) {
	const doc = ` { "s":"a\u00e9","n":12,"f":1.5,"b":true,"l":["x","y\"]"],"o":{"p":[1,{"q":2}]},"z":null } `
	o, err := StrictObject([]byte(doc), 8, 20)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := o.String("s"); s != "aé" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if n, there, err := o.Int("n"); n != 12 || !there || err != nil {
		t.Errorf("%d, %v, %v", n, there, err)
	}
	if b, err := o.Bool("b"); !b || err != nil {
		t.Errorf("%v, %v", b, err)
	}
	if l, err := o.Strings("l"); !slices.Equal(l, []string{"x", `y"]`}) || err != nil {
		t.Errorf("%q, %v", l, err)
	}
	if l, err := o.OneOrMore("s"); !slices.Equal(l, []string{"aé"}) || err != nil {
		t.Errorf("%q, %v", l, err)
	}
	inner, there, err := o.Object("o")
	if raw, _ := inner.Raw("p"); raw != `[1,{"q":2}]` || !there || err != nil {
		t.Errorf("%q, %v", raw, err)
	}
	if tm, err := o.Time("f"); !tm.Equal(time.Unix(1, 5e8)) || err != nil {
		t.Errorf("%v, %v", tm, err)
	}
	if s, err := o.String("absent"); s != "" || err != nil || o.Has("absent") || o.Len() != 7 {
		t.Errorf("%q, %v, %d", s, err, o.Len())
	}
}

func TestObjectTypeErrors(t *testing.T) {
	const doc = `{"s":"1","n":1,"f":1.5,"b":"true","l":["x",1],"z":null,"neg":-1,"big":253402300800}`
	o, err := StrictObject([]byte(doc), 8, 20)
	if err != nil {
		t.Fatal(err)
	}
	first := func(err error, _ ...any) error { return err }
	str := func(name string) error { _, err := o.String(name); return err }
	list := func(name string) error { _, err := o.OneOrMore(name); return err }
	clock := func(name string) error { _, err := o.Time(name); return err }
	whole := func(name string) error { _, _, err := o.Int(name); return err }
	object := func(name string) error { _, _, err := o.Object(name); return err }
	boolean := func(name string) error { _, err := o.Bool(name); return err }
	for name, err := range map[string]error{
		"string_number": str("n"), "string_null": str("z"), "list_number": list("n"), "list_mixed": list("l"),
		"time_string": clock("s"), "time_negative": clock("neg"), "time_after_9999": clock("big"),
		"time_null":    clock("z"),
		"int_fraction": whole("f"), "int_string": whole("s"), "object_list": object("l"), "bool_string": boolean("b"),
	} {
		var m *MemberError
		if !errors.As(first(err), &m) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStrictObjectDoesNotKeepItsInput(t *testing.T) {
	b := []byte(`{"a":"secret","a2":{"b":"secret"}}`)
	o, err := StrictObject(b, 8, 8)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if s, _ := o.String("a"); s != "secret" {
		t.Error(s)
	}
}

func TestObjectRoundTrip(t *testing.T) {
	const doc = `{"a\"\u0001":[1, 2],"b":{"c":"d"},"é":null}`
	o, err := StrictObject([]byte(doc), 8, 8)
	if err != nil {
		t.Fatal(err)
	}
	b, err := o.MarshalJSON()
	if err != nil || !json.Valid(b) {
		t.Fatalf("%s, %v", b, err)
	}
	again, err := StrictObject(b, 8, 8)
	if err != nil || !maps.Equal(maps.Collect(again.All()), maps.Collect(o.All())) {
		t.Errorf("%s, %v", b, err)
	}
}

func TestSignAndVerify(t *testing.T) {
	for _, a := range []Alg{RS256, RS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519} {
		t.Run(string(a), func(t *testing.T) {
			k, err := GenerateKey(a, `k"1`) // a kid that needs escaping is the issuer's choice and no name
			if err != nil {
				t.Fatal(err)
			}
			private, err := k.MarshalPrivate()
			if err != nil {
				t.Fatal(err)
			}
			var again *PrivateKey
			err = private.Use(func(b []byte) error { again, err = ParsePrivateKey(b); return err })
			if err != nil {
				t.Fatal(err)
			}
			token, err := again.Sign("at+jwt", []byte(`{"a":{"b":1}}`))
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse([]byte(token.Expose()))
			if err != nil {
				t.Fatal(err)
			}
			if m.Header != (Header{Alg: a, KeyID: `k"1`, HasKeyID: true, Type: "at+jwt"}) {
				t.Errorf("%+v", m.Header)
			}
			set, skipped, err := ParseKeySet(must(NewKeySet(k.Public()).MarshalJSON()))
			if err != nil || len(skipped) > 0 {
				t.Fatal(err, skipped)
			}
			list := set.Candidates(m.Header)
			if len(list) != 1 || m.Verify(list[0]) != nil {
				t.Errorf("%v", list)
			}
			if s := fmt.Sprintf("%v %+v %#v %s", k, k, *k, again); strings.Contains(s, "big.Int") {
				t.Errorf("the key prints as %s", s)
			}
		})
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestSignRefuses(t *testing.T) {
	k, err := GenerateKey(EdDSA, "k")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		payload string
		want    error
	}{
		"no_object":                {`[]`, ErrJSON},
		"repeated_member":          {`{"a":1,"a":2}`, ErrJSON},
		"name_with_quote":          {`{"a\"":1}`, ErrName},
		"name_with_quote_in_depth": {`{"x":[{"a\",\"admin":1}]}`, ErrName},
		"name_with_blank":          {`{"a b":1}`, ErrName},
		"name_empty":               {`{"":1}`, ErrName},
		"name_not_ascii":           {`{"é":1}`, ErrName},
	} {
		if _, err := k.Sign("", []byte(c.payload)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := GenerateKey("HS256", ""); err == nil {
		t.Error("a key for HS256")
	}
}

// TestEdDSAMalleable adds the group order to s: the equation still holds, and RFC 8032 section 5.1.7 refuses it.
func TestEdDSAMalleable(t *testing.T) {
	k, err := GenerateKey(EdDSA, "k")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse([]byte(expose(t, k, `{}`)))
	if err != nil {
		t.Fatal(err)
	}
	order, _ := new(big.Int).SetString("27742317777372353535851937790883648493", 10)
	order.Add(order, new(big.Int).Lsh(big.NewInt(1), 252))
	s := slices.Clone(m.signature[32:])
	slices.Reverse(s)
	grown := new(big.Int).SetBytes(s)
	grown.Add(grown, order).FillBytes(s)
	slices.Reverse(s)
	copy(m.signature[32:], s)
	if err := m.Verify(k.Public()); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
}

// TestECDSARange tries values of r and s outside 1 to n-1 and signatures of a wrong length.
func TestECDSARange(t *testing.T) {
	k, err := GenerateKey(ES256, "k")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse([]byte(expose(t, k, `{}`)))
	if err != nil {
		t.Fatal(err)
	}
	good, zero, ones := m.signature, make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)
	for name, s := range map[string][]byte{
		"r_zero": slices.Concat(zero, good[32:]), "s_zero": slices.Concat(good[:32], zero), "both_zero": make([]byte,
			64),
		"r_too_large": slices.Concat(ones, good[32:]), "s_too_large": slices.Concat(good[:32], ones),
		"short": good[:63], "long": slices.Concat(good, []byte{0}), "long_with_zeros": slices.Concat([]byte{0},
			good[:32], []byte{0}, good[32:]),
		"der": {0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01},
	} {
		m.signature = s
		if err := m.Verify(k.Public()); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m.signature = good; m.Verify(k.Public()) != nil {
		t.Error("the good one is refused")
	}
}

func expose(t *testing.T, k *PrivateKey, payload string) string {
	t.Helper()
	token, err := k.Sign("", []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return token.Expose()
}

// TestThumbprint is the example of RFC 7638 section 3.1.
func TestThumbprint(t *testing.T) {
	const n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJE" +
		"CPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q" +
		"vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6" +
		"WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	k, err := ParsePublicKey([]byte(`{"kty":"RSA","n":"` + n + `","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Thumbprint(); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Error(got)
	}
}

type testKey map[string]any

func (k testKey) with(name string, value any) testKey {
	c := maps.Clone(k)
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

func published(t *testing.T, a Alg) testKey {
	t.Helper()
	k, err := GenerateKey(a, "k")
	if err != nil {
		t.Fatal(err)
	}
	var j testKey
	if err := json.Unmarshal(must(k.Public().MarshalJSON()), &j); err != nil {
		t.Fatal(err)
	}
	return j
}

func TestParsePublicKeyRefuses(t *testing.T) {
	rsa, ec, okp := published(t, RS256), published(t, ES256), published(t, EdDSA)
	enc := base64.RawURLEncoding.EncodeToString
	n := must(base64.RawURLEncoding.DecodeString(rsa["n"].(string)))
	even := slices.Clone(n)
	even[len(even)-1] &^= 1
	short := slices.Clone(n[:128])
	short[127] |= 1
	for name, c := range map[string]struct {
		key  testKey
		want error
	}{
		"unknown_type":           {testKey{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}, ErrKeyType},
		"type_in_lower_case":     {ec.with("kty", "ec"), ErrKeyType},
		"symmetric":              {testKey{"kty": "oct", "k": "AAAA"}, ErrKeyType},
		"unknown_curve":          {ec.with("crv", "secp256k1"), ErrKeyType},
		"x25519":                 {okp.with("crv", "X25519"), ErrKeyType},
		"for_encryption":         {rsa.with("use", "enc"), ErrKey},
		"use_empty":              {rsa.with("use", ""), ErrKey},
		"key_ops_without_verify": {rsa.with("key_ops", []string{"sign"}), ErrKey},
		"private_part_published": {okp.with("d", "AAAA"), ErrKey},
		"rsa_1024":               {rsa.with("n", enc(short)), ErrWeakKey},
		"rsa_16384":              {rsa.with("n", enc(bytes.Repeat([]byte{0xff}, 2048))), ErrKey},
		"rsa_even_modulus":       {rsa.with("n", enc(even)), ErrKey},
		"rsa_exponent_1":         {rsa.with("e", "AQ"), ErrWeakKey},
		"rsa_exponent_2":         {rsa.with("e", "Ag"), ErrWeakKey},
		"rsa_exponent_even":      {rsa.with("e", "AQAA"), ErrWeakKey},
		"rsa_exponent_65_bits":   {rsa.with("e", "AQAAAAAAAAAD"), ErrKey},
		"rsa_without_n":          {rsa.with("n", nil), ErrMissing},
		"rsa_padded":             {rsa.with("e", "AQAB=="), ErrBase64},
		"rsa_line_break":         {rsa.with("e", "AQ\nAB"), ErrBase64},
		"rsa_unused_bits":        {rsa.with("e", "AR"), ErrBase64},
		"ec_not_on_curve":        {ec.with("y", ec["x"]), ErrKey},
		"ec_short_coordinate":    {ec.with("x", "AAAA"), ErrKey},
		"ec_coordinate_with_zero": {ec.with("x", enc(append([]byte{0},
			must(base64.RawURLEncoding.DecodeString(ec["x"].(string)))...))), ErrKey},
		"ec_other_curve":        {ec.with("crv", "P-384"), ErrKey},
		"ec_zero":               {ec.with("x", enc(make([]byte, 32))).with("y", enc(make([]byte, 32))), ErrKey},
		"ec_alg_of_other_curve": {ec.with("alg", "ES384"), ErrKeyMismatch},
		"okp_short":             {okp.with("x", "AAAA"), ErrKey},
		"case_variant":          {okp.with("Use", "enc"), ErrCaseVariant},
	} {
		t.Run(name, func(t *testing.T) {
			if k, err := ParsePublicKey(must(json.Marshal(c.key))); !errors.Is(err, c.want) {
				t.Errorf("%v, %v; want %v", k, err, c.want)
			}
		})
	}
	for name, key := range map[string]testKey{
		"hmac_name": rsa.with("alg", "HS256"), "none": ec.with("alg", "none"), "rsa_oaep": rsa.with("alg", "RSA-OAEP"),
	} {
		var a *AlgorithmError
		if _, err := ParsePublicKey(must(json.Marshal(key))); !errors.As(err, &a) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestParseKeySetKeepsTheGoodKeys puts one good key among bad ones of every kind.
func TestParseKeySetKeepsTheGoodKeys(t *testing.T) {
	good := string(must(json.Marshal(published(t, ES256))))
	for name, bad := range map[string]string{
		"unknown_type": `{"kty":"AKP"}`, "symmetric": `{"kty":"oct","k":"AA","kid":"k"}`, "no_object": `7`,
		"empty":           `{}`,
		"repeated_member": `{"kty":"EC","kty":"EC"}`, "bad_utf8": "{\"kty\":\"\xff\"}", "null": `null`,
		"deep": strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		t.Run(name, func(t *testing.T) {
			set, skipped, err := ParseKeySet([]byte(`{"x":1,"keys":[` + bad + `,` + good + `,` + bad + `]}`))
			if err != nil || set.Len() != 1 || len(skipped) != 2 || !set.HasID("k") {
				t.Errorf("%d keys, left out %v, %v", set.Len(), skipped, err)
			}
		})
	}
}

func TestParseKeySetRefuses(t *testing.T) {
	for name, doc := range map[string]string{
		"empty": ``, "list": `[]`, "no_keys": `{}`, "keys_object": `{"keys":{}}`, "keys_twice": `{"keys":[],"keys":[]}`,
		"cut_off": `{"keys":[`, "two": `{"keys":[]}{}`, "too_large": `{"keys":[]}` + strings.Repeat(" ", MaxKeySet),
	} {
		if _, _, err := ParseKeySet([]byte(doc)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	many := `{"keys":[` + strings.TrimSuffix(strings.Repeat(`{"kty":"x"},`, 1000), ",") + `]}`
	if _, skipped, err := ParseKeySet([]byte(many)); err != nil || len(skipped) != maxKeys+1 {
		t.Errorf("%d left out of a thousand, %v", len(skipped), err)
	}
}

func TestCandidates(t *testing.T) {
	var list []*PublicKey
	for range 10 {
		k, err := GenerateKey(ES256, "same")
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, k.Public())
	}
	anonymous := newPublicKey(list[0].key, "")
	bound := newPublicKey(list[1].key, ES256)
	bound.id, bound.hasID = "bound", true
	set := NewKeySet(append(list, anonymous, bound)...)
	for name, c := range map[string]struct {
		h    Header
		want int
	}{
		"four_at_most":                  {Header{Alg: ES256, KeyID: "same", HasKeyID: true}, maxTried},
		"no_kid_tries_four":             {Header{Alg: ES256}, maxTried},
		"kid_exactly":                   {Header{Alg: ES256, KeyID: "SAME", HasKeyID: true}, 0},
		"empty_kid_is_no_missing_kid":   {Header{Alg: ES256, HasKeyID: true}, 0},
		"other_algorithm":               {Header{Alg: RS256, KeyID: "same", HasKeyID: true}, 0},
		"bound":                         {Header{Alg: ES256, KeyID: "bound", HasKeyID: true}, 1},
		"algorithm_that_does_not_exist": {Header{KeyID: "same", HasKeyID: true}, 0},
	} {
		if got := set.Candidates(c.h); len(got) != c.want {
			t.Errorf("%s: %d, want %d", name, len(got), c.want)
		}
	}
	var none *KeySet
	if none.Candidates(Header{Alg: ES256}) != nil || none.Len() != 0 || none.HasID("") {
		t.Error("no set has keys")
	}
}

func TestKeyBoundToOneAlgorithm(t *testing.T) {
	k, err := GenerateKey(PS256, "k")
	if err != nil {
		t.Fatal(err)
	}
	if k.Public().Fits(RS256) || !k.Public().Fits(PS256) {
		t.Error("a key for PS256 fits RS256")
	}
	e, err := GenerateKey(Ed25519, "k")
	if err != nil {
		t.Fatal(err)
	}
	if !e.Public().Fits(EdDSA) { // two names of one algorithm
		t.Error("a key for Ed25519 does not fit EdDSA")
	}
}

func TestParsePrivateKeyRefuses(t *testing.T) {
	for _, a := range []Alg{RS256, ES256, EdDSA} {
		one, two := privateJWK(t, a), privateJWK(t, a)
		for name, key := range map[string]testKey{
			"halves_of_two_keys": one.with("d", two["d"]), "no_private_half": one.with("d", nil),
			"no_alg": one.with("alg", nil),
			"short":  one.with("d", "AAAA"),
		} {
			if a == RS256 && name == "halves_of_two_keys" {
				key = key.with("p", two["p"]).with("q", two["q"])
			}
			if _, err := ParsePrivateKey(must(json.Marshal(key))); err == nil {
				t.Errorf("%s %s: accepted", a, name)
			}
		}
	}
}

func privateJWK(t *testing.T, a Alg) testKey {
	t.Helper()
	k, err := GenerateKey(a, "k")
	if err != nil {
		t.Fatal(err)
	}
	s, err := k.MarshalPrivate()
	if err != nil {
		t.Fatal(err)
	}
	var j testKey
	if err := json.Unmarshal([]byte(s.Expose()), &j); err != nil {
		t.Fatal(err)
	}
	return j
}

func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"A"},{"kty":"AKP"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","kid":"a\u0000","key_ops":["verify"]}],"x":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		set, _, err := ParseKeySet(b)
		if err != nil {
			return
		}
		again, skipped, err := ParseKeySet(must(set.MarshalJSON()))
		if err != nil || len(skipped) > 0 || again.Len() != set.Len() {
			t.Fatalf("%d keys, written and read %d: %v, %v", set.Len(), again.Len(), skipped, err)
		}
		for i, k := range set.Keys() {
			if l := again.Keys()[i]; l.Thumbprint() != k.Thumbprint() || l.ID() != k.ID() || l.Alg() != k.Alg() {
				t.Fatalf("key %d changed", i)
			}
		}
	})
}

func FuzzStrictObject(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[{"c":"\u0061"}]}`))
	f.Add([]byte(`{"a":1e400,"\u0061":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := StrictObject(b, 16, 100)
		if err != nil {
			return
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(b, &m); err != nil || len(m) != o.Len() {
			t.Fatalf("encoding/json sees %d members, we %d: %v", len(m), o.Len(), err)
		}
		for name, value := range o.All() {
			if string(m[name]) != value {
				t.Fatalf("%q is %s, ours %s", name, m[name], value)
			}
		}
		if again, err := StrictObject(must(o.MarshalJSON()), 16, 100); err != nil || again.Len() != o.Len() {
			t.Fatal(err)
		}
	})
}

func TestAlgSame(t *testing.T) {
	for _, a := range Algs() {
		for _, b := range Algs() {
			two := []Alg{EdDSA, Ed25519}
			want := a == b || slices.Contains(two, a) && slices.Contains(two, b)
			if a.Same(b) != want {
				t.Errorf("%s and %s: %v", a, b, !want)
			}
		}
	}
}

// TestStrictObject_places: names and values are found as they are meant, however they were written, also where a name
// had to be written anew.
func TestStrictObject_places(t *testing.T) {
	var text strings.Builder
	const many = 100
	for i := range many {
		fmt.Fprintf(&text, `,%s"\u006e%03d" : [%d, {"n": "\u0041"}]`, strings.Repeat(" ", i%3), i, i)
	}
	o, err := StrictObject([]byte("{\"\": 1, \"\\ud83d\\ude00\": null\t"+text.String()+`, "last":"\u0041"}`), 4, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range many {
		want := fmt.Sprintf(`[%d, {"n": "\u0041"}]`, i)
		if got, ok := o.Raw(fmt.Sprintf("n%03d", i)); !ok || got != want {
			t.Errorf("%d is %q, %v", i, got, ok)
		}
	}
	for name, want := range map[string]string{"": "1", "\U0001f600": "null", "last": `"\u0041"`} {
		if got, ok := o.Raw(name); !ok || got != want {
			t.Errorf("%q is %q, %v", name, got, ok)
		}
	}
	less := o.Without("n001", "last").WithoutNull()
	if less.Len() != many || less.Has("n001") || less.Has("\U0001f600") || !o.Has("n001") || !less.Has("n002") {
		t.Errorf("%d members are left", less.Len())
	}
	b, err := less.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := StrictObject(b, 4, 1000); err != nil || again.Len() != less.Len() {
		t.Errorf("it reads as %d members, %v", again.Len(), err)
	}
}
