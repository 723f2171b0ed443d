package mint

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const (
	issuer   = "https://mytoken.example.org"
	provider = "https://op.example.org/"
)

var now = time.Unix(1_800_000_000, 0)

func newKey(t testing.TB, a jose.Alg) *jose.PrivateKey {
	t.Helper()
	k, err := jose.GenerateKey(a, "")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newMinter(t testing.TB, k *jose.PrivateKey) (*Minter, *Checker) {
	t.Helper()
	m, err := New(issuer, k)
	if err != nil {
		t.Fatal(err)
	}
	return m, NewChecker(issuer, jose.NewKeySet(k.Public()))
}

func order() Order {
	return Order{
		OIDCIssuer: provider, OIDCSubject: "alice", Capabilities: mytoken.Capabilities{"AT", "tokeninfo"},
		AuthTime: now.Add(-time.Minute), Now: now,
	}
}

func restrictions(t testing.TB, s string) mytoken.Restrictions {
	t.Helper()
	var rs mytoken.Restrictions
	if err := rs.UnmarshalJSON([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return rs
}

func part(t testing.TB, token string, n int) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[n])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestIssue(t *testing.T) {
	m, k := newMinter(t, newKey(t, DefaultAlg))
	o := order()
	o.Name, o.KeyThumbprint = `a "name" <&>`, "thumb"
	o.Restrictions = restrictions(t, `[{"nbf":1800000100,"exp":1800000200,"scope":"a"},{"nbf":1800000050,"exp":1800000300}]`)
	o.Rotation = &mytoken.Rotation{OnAT: true, AutoRevoke: true}
	token, c, err := m.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	if got := part(t, token.Expose(), 0); got != `{"alg":"ES512","typ":"MT+JWT"}` {
		t.Errorf("header %s", got)
	}
	want := `{"ver":"0.7","token_type":"mytoken","iss":"https://mytoken.example.org","sub":"` +
		Subject("alice", provider) + `","seq_no":1,"name":"a \"name\" <&>","aud":"https://mytoken.example.org",` +
		`"oidc_sub":"alice","oidc_iss":"https://op.example.org/","capabilities":["AT","tokeninfo"],"exp":1800000300,` +
		`"nbf":1800000050,"iat":1800000000,"auth_time":1799999940,"jti":"` + c.ID + `","restrictions":[{"nbf":1800000100,` +
		`"exp":1800000200,"scope":"a"},{"nbf":1800000050,"exp":1800000300}],"rotation":{"on_AT":true,"auto_revoke":true},` +
		`"cnf":{"jkt":"thumb"}}`
	if got := part(t, token.Expose(), 1); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(c.ID) != 36 || c.ID[14] != '4' || !strings.ContainsRune("89ab", rune(c.ID[19])) {
		t.Errorf("jti %s is no random UUID", c.ID)
	}
	back, err := k.Check([]byte(token.Expose()), now.Add(time.Minute))
	if err != nil || back.ID != c.ID || back.KeyThumbprint != "thumb" || len(back.Restrictions) != 2 || back.MOMID() != c.MOMID() {
		t.Errorf("%+v, %v", back, err)
	}
	if shown, err := mytoken.ReadClaims(token); err != nil || shown.ID != c.ID || shown.Name != o.Name {
		t.Errorf("the client reads %+v, %v", shown, err)
	}
}

func TestTokenWithoutEnd(t *testing.T) {
	m, k := newMinter(t, newKey(t, jose.ES384))
	token, c, err := m.Issue(order())
	if err != nil || !c.Expires.IsZero() || strings.Contains(part(t, token.Expose(), 1), `"exp"`) {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := k.Check([]byte(token.Expose()), now.AddDate(50, 0, 0)); err != nil {
		t.Error(err)
	}
	other, c2, err := m.Issue(order())
	if err != nil || c2.ID == c.ID || other.Equal(token) {
		t.Errorf("two are the same: %v", err)
	}
}

// TestSubject compares with what openssl makes of it.
func TestSubject(t *testing.T) {
	// printf %s 'alice@https://op.example.org/' | openssl dgst -sha3-256 -binary | base64
	if got := Subject("alice", provider); got != "JiadjmpgK3pkHxE3hUD751niwu725Mdm6d3EMaBdDB4=" {
		t.Error(got)
	}
}

func TestRotate(t *testing.T) {
	m, k := newMinter(t, newKey(t, jose.ES384))
	o := order()
	o.Restrictions = restrictions(t, `[{"exp":1800086400}]`)
	o.Rotation = &mytoken.Rotation{OnAT: true, Lifetime: time.Hour}
	_, first, err := m.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	later := now.Add(time.Minute)
	token, second, err := m.Rotate(first, later)
	if err != nil {
		t.Fatal(err)
	}
	if second.SeqNo != 2 || second.ID != first.ID || second.MOMID() != first.MOMID() || second.Subject != first.Subject ||
		!second.IssuedAt.Equal(later) || !second.NotBefore.Equal(later) || !second.Expires.Equal(later.Add(time.Hour)) ||
		!second.AuthTime.Equal(first.AuthTime) || len(second.Restrictions) != 1 || second.Rotation == nil {
		t.Errorf("%+v", second)
	}
	if _, err := k.Check([]byte(token.Expose()), later); err != nil {
		t.Error(err)
	}
	if _, _, err := m.Rotate(mytoken.Claims{Issuer: "https://else.example.org", SeqNo: 1}, later); !errors.Is(err, ErrOrder) {
		t.Errorf("a token of another server is rotated: %v", err)
	}
}

func TestIssueRefuses(t *testing.T) {
	m, _ := newMinter(t, newKey(t, jose.ES384))
	for name, change := range map[string]func(*Order){
		"nobody": func(o *Order) { o.OIDCSubject = "" }, "no_provider": func(o *Order) { o.OIDCIssuer = "" },
		"no_capability": func(o *Order) { o.Capabilities = nil },
	} {
		o := order()
		change(&o)
		if _, _, err := m.Issue(o); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(issuer, newKey(t, jose.EdDSA)); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("EdDSA: %v", err)
	}
}

// TestWarning: existing clients decode the signature with padding.
func TestWarning(t *testing.T) {
	for a, want := range map[jose.Alg]bool{
		jose.ES256: true, jose.ES384: false, jose.ES512: false, jose.RS256: true, jose.PS256: true, jose.RS384: false,
		jose.PS512: false,
	} {
		m, _ := newMinter(t, newKey(t, a))
		got, err := m.Warning()
		if err != nil || (got != "") != want {
			t.Errorf("%s: %q, %v", a, got, err)
		}
		token, _, err := m.Issue(order())
		if err != nil {
			t.Fatal(err)
		}
		_, paddedErr := base64.URLEncoding.DecodeString(strings.Split(token.Expose(), ".")[2])
		if (paddedErr != nil) != want {
			t.Errorf("%s: an existing client says %v", a, paddedErr)
		}
	}
}

func TestEveryAlgorithm(t *testing.T) {
	for _, a := range []jose.Alg{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
	} {
		t.Run(string(a), func(t *testing.T) {
			m, k := newMinter(t, newKey(t, a))
			token, _, err := m.Issue(order())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.Check([]byte(token.Expose()), now); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKeysRetire: tokens that a key has signed live longer than the key signs.
func TestKeysRetire(t *testing.T) {
	old, other, young := newKey(t, jose.ES384), newKey(t, jose.ES512), newKey(t, jose.ES384)
	m, _ := newMinter(t, old)
	token, _, err := m.Issue(order())
	if err != nil {
		t.Fatal(err)
	}
	both := NewChecker(issuer, jose.NewKeySet(young.Public(), other.Public(), old.Public()))
	if _, err := both.Check([]byte(token.Expose()), now); err != nil {
		t.Error(err)
	}
	if _, err := NewChecker(issuer, jose.NewKeySet(young.Public())).Check([]byte(token.Expose()), now); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
	if _, err := NewChecker(issuer, nil).Check([]byte(token.Expose()), now); !errors.Is(err, ErrSignature) {
		t.Error(err)
	}
}

// claimsOf are those of a good token, to be changed.
func claimsOf(t *testing.T) map[string]any {
	t.Helper()
	m, _ := newMinter(t, newKey(t, jose.ES384))
	o := order()
	o.Restrictions = restrictions(t, `[{"exp":1800086400,"scope":"a"}]`)
	token, _, err := m.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(part(t, token.Expose(), 1)), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCheckRefusesClaims(t *testing.T) {
	key := newKey(t, jose.ES384)
	_, k := newMinter(t, key)
	for _, tt := range []struct {
		name   string
		change func(c map[string]any)
		want   error
	}{
		{"good", func(map[string]any) {}, nil},
		{"expired_to_the_second", func(c map[string]any) { c["exp"] = now.Unix() }, ErrExpired},
		{"one_second_left", func(c map[string]any) { c["exp"] = now.Unix() + 1 }, nil},
		{"not_yet", func(c map[string]any) { c["nbf"] = now.Unix() + 1 }, ErrNotYet},
		{"issued_in_the_future", func(c map[string]any) { c["iat"] = now.Unix() + 1 }, ErrNotYet},
		{"other_issuer", func(c map[string]any) { c["iss"] = "https://else.example.org" }, ErrIssuer},
		{"issuer_with_a_slash", func(c map[string]any) { c["iss"] = issuer + "/" }, ErrIssuer},
		{"other_audience", func(c map[string]any) { c["aud"] = provider }, ErrIssuer},
		{"audience_list", func(c map[string]any) { c["aud"] = []string{issuer} }, ErrIssuer},
		{"no_audience", func(c map[string]any) { delete(c, "aud") }, ErrIssuer},
		{"zero_jti", func(c map[string]any) { c["jti"] = "00000000-0000-0000-0000-000000000000" }, ErrForm},
		{"no_jti", func(c map[string]any) { delete(c, "jti") }, ErrForm},
		{"jti_of_nonsense", func(c map[string]any) { c["jti"] = "0123456789abcdef0123456789abcdef" }, ErrForm},
		{"other_sub", func(c map[string]any) { c["sub"] = Subject("bob", provider) }, ErrForm},
		{"other_person", func(c map[string]any) { c["oidc_sub"] = "bob" }, ErrForm},
		{"nobody", func(c map[string]any) { c["oidc_sub"], c["sub"] = "", Subject("", provider) }, ErrForm},
		{"seq_no_0", func(c map[string]any) { c["seq_no"] = 0 }, ErrForm},
		{"seq_no_text", func(c map[string]any) { c["seq_no"] = "1" }, ErrForm},
		{"other_type", func(c map[string]any) { c["token_type"] = "access_token" }, ErrForm},
		{"next_version", func(c map[string]any) { c["ver"] = "1.0" }, ErrForm},
		{"old_version", func(c map[string]any) { c["ver"] = "0.3" }, ErrForm},
		{"earlier_version", func(c map[string]any) { c["ver"] = "0.5" }, nil},
		{"no_times", func(c map[string]any) { delete(c, "iat"); delete(c, "nbf") }, ErrForm},
		{"no_restrictions", func(c map[string]any) { delete(c, "restrictions") }, nil},
		{"restrictions_text", func(c map[string]any) { c["restrictions"] = "1d" }, ErrForm},
		{"restrictions_one_object", func(c map[string]any) { c["restrictions"] = map[string]any{"exp": 1900000000} }, ErrForm},
		{"clause_that_is_none", func(c map[string]any) { c["restrictions"] = []any{7} }, ErrForm},
		{"clause_of_later", func(c map[string]any) { c["restrictions"] = []any{map[string]any{"device": "x"}} }, ErrForm},
		{"clause_with_nothing", func(c map[string]any) { c["restrictions"] = []any{map[string]any{"audience": []any{}}} }, ErrForm},
		{"limit_that_is_none", func(c map[string]any) { c["restrictions"] = []any{map[string]any{"usages_AT": "1"}} }, ErrForm},
		{"capabilities_text", func(c map[string]any) { c["capabilities"] = "all" }, ErrForm},
		{"rotation_list", func(c map[string]any) { c["rotation"] = []any{} }, ErrForm},
		{"binding_of_nonsense", func(c map[string]any) { c["cnf"] = map[string]any{"jkt": 7} }, ErrForm},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := claimsOf(t)
			tt.change(c)
			payload, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			token, err := key.SignWithoutID(typ, payload)
			if err != nil {
				t.Fatal(err)
			}
			_, err = k.Check([]byte(token.Expose()), now)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func TestCheckRefusesForms(t *testing.T) {
	key := newKey(t, jose.ES384)
	m, k := newMinter(t, key)
	token, _, err := m.Issue(order())
	if err != nil {
		t.Fatal(err)
	}
	good := token.Expose()
	parts := strings.Split(good, ".")
	enc := base64.RawURLEncoding.EncodeToString
	with := func(header string) string { return enc([]byte(header)) + "." + parts[1] + "." + parts[2] }
	signed := func(typ string) string {
		s, err := key.Sign(typ, []byte(part(t, good, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return s.Expose()
	}
	flipped := []byte(good)
	flipped[len(parts[0])+20] ^= 1
	for name, tt := range map[string]struct {
		token string
		want  error
	}{
		"empty": {"", ErrForm}, "short_token": {strings.Repeat("a", 64), ErrForm}, "cut": {good[:len(good)-4], ErrSignature},
		"payload_changed": {string(flipped), ErrSignature}, "kid": {signed(typ), ErrForm}, "other_typ": {signed("at+jwt"), ErrForm},
		"none":        {with(`{"alg":"none","typ":"MT+JWT"}`), ErrForm},
		"small_typ":   {with(`{"alg":"ES384","typ":"mt+jwt"}`), ErrForm},
		"other_order": {with(`{"typ":"MT+JWT","alg":"ES384"}`), ErrForm},
		"embedded":    {with(`{"alg":"ES384","typ":"MT+JWT","jwk":{}}`), ErrForm},
		"other_alg":   {with(`{"alg":"ES512","typ":"MT+JWT"}`), ErrSignature},
		"too_long":    {parts[0] + "." + strings.Repeat("A", MaxSize) + "." + parts[2], ErrForm},
	} {
		if _, err := k.Check([]byte(tt.token), now); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if _, err := k.Check([]byte(good), now); err != nil {
		t.Error(err)
	}
}

// TestTimesAlone: what is asked of a token that is over does not want its times.
func TestTimesAlone(t *testing.T) {
	m, k := newMinter(t, newKey(t, jose.ES384))
	o := order()
	o.Restrictions = restrictions(t, `[{"exp":1800000100}]`)
	token, _, err := m.Issue(o)
	if err != nil {
		t.Fatal(err)
	}
	late := now.Add(time.Hour)
	if _, err := k.Check([]byte(token.Expose()), late); !errors.Is(err, ErrExpired) {
		t.Error(err)
	}
	if c, err := k.Genuine([]byte(token.Expose())); err != nil || !errors.Is(Timely(c, late), ErrExpired) {
		t.Error(err)
	}
}

func FuzzCheck(f *testing.F) {
	key := newKey(f, jose.ES256)
	m, k := newMinter(f, key)
	o := order()
	o.Restrictions = restrictions(f, `[{"exp":1800086400,"scope":"a","hosts":["10.0.0.0/8"],"usages_AT":3}]`)
	o.Rotation = &mytoken.Rotation{OnAT: true}
	token, _, err := m.Issue(o)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(part(f, token.Expose(), 1)), true)
	f.Add([]byte(token.Expose()), false)
	f.Add([]byte(`{"token_type":"mytoken","restrictions":[{}]}`), true)
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		if sign { // the signature is no wall here: what is behind it has to stand by itself
			s, err := key.SignWithoutID(typ, b)
			if err != nil {
				return
			}
			b = []byte(s.Expose())
		}
		c, err := k.Check(b, now)
		if err != nil {
			return
		}
		if c.Issuer != issuer || c.MOMID() == "" || c.SeqNo < 1 || c.Subject != Subject(c.OIDCSubject, c.OIDCIssuer) {
			t.Fatalf("%+v", c)
		}
		// Whatever is taken can be rotated, and then says the same.
		next, after, err := m.Rotate(c, now)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		back, err := k.Check([]byte(next.Expose()), now)
		if err != nil && !errors.Is(err, ErrExpired) {
			t.Fatal(err)
		}
		if err == nil && (back.SeqNo != after.SeqNo || len(back.Restrictions) != len(c.Restrictions)) {
			t.Fatalf("%+v became %+v", c, back)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	for _, a := range []jose.Alg{jose.ES384, jose.ES512} {
		b.Run(string(a), func(b *testing.B) {
			m, k := newMinter(b, newKey(b, a))
			token, _, err := m.Issue(order())
			if err != nil {
				b.Fatal(err)
			}
			raw := []byte(token.Expose())
			for b.Loop() {
				if _, err := k.Check(raw, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
