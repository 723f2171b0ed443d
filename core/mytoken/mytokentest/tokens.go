package mytokentest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Mint makes a mytoken of alice with these capabilities, all of them when there is none.
func (s *Server) Mint(capabilities ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(capabilities) == 0 {
		capabilities = allCapabilities()
	}
	return s.text(s.issue(mytokenRequest{Capabilities: capabilities}, nil))
}

// Revoked reports whether the mytoken, or one it was replaced by, has been ended.
func (s *Server) Revoked(mt string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	jti, _, ok := s.open(mt)
	return ok && s.tokens[jti].revoked
}

// EndAll ends every mytoken that there is.
func (s *Server) EndAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens {
		t.revoked = true
	}
}

// Current reports whether mt would be taken: the newest of its line, and not ended.
func (s *Server) Current(mt string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.valid(mt)
	return ok
}

func (s *Server) issue(r mytokenRequest, parent *token) *token {
	t := &token{
		jti: uuid(), name: r.Name, seq: 1, capabilities: r.Capabilities, restrictions: r.Restrictions,
		created: s.opt.Now(), events: []string{"created"},
	}
	if parent != nil {
		t.parent = parent.jti
	}
	if len(r.Include) > 0 && len(t.capabilities) == 0 && slices.Contains(r.Include, "agent") {
		t.capabilities = allCapabilities()
	}
	if len(t.capabilities) == 0 {
		t.capabilities = []string{"AT", "tokeninfo"}
	}
	if r.Rotation != nil {
		t.rotation = *r.Rotation
	}
	t.rotation.OnAT = t.rotation.OnAT || s.opt.RotateOnAT
	t.rotation.OnOther = t.rotation.OnOther || s.opt.RotateOnOther
	t.expires = latest(r.Restrictions)
	s.tokens[t.jti] = t
	return t
}

// latest is the end of all clauses, zero when one has none.
func latest(restrictions json.RawMessage) time.Time {
	var clauses []struct {
		Exp int64 `json:"exp"`
	}
	if json.Unmarshal(restrictions, &clauses) != nil || len(clauses) == 0 {
		return time.Time{}
	}
	var last int64
	for _, c := range clauses {
		if c.Exp == 0 {
			return time.Time{}
		}
		last = max(last, c.Exp)
	}
	return time.Unix(last, 0)
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// text is the mytoken as it is handed out.
func (s *Server) text(t *token) string {
	if s.opt.Short {
		short := "short" + rand.Text() + rand.Text() + rand.Text()
		s.aliases[short] = t.jti + "/" + strconv.FormatInt(t.seq, 10)
		return short
	}
	const subject = "alice"
	sub := sha3.Sum256([]byte(subject + "@" + Provider))
	now := s.opt.Now().Unix()
	claims := map[string]any{
		"ver": "0.7", "token_type": "mytoken", "iss": s.URL, "sub": base64.StdEncoding.EncodeToString(sub[:]),
		"seq_no": t.seq, "aud": s.URL, "oidc_sub": subject, "oidc_iss": Provider, "capabilities": t.capabilities,
		"nbf": now, "iat": now, "auth_time": now, "jti": t.jti,
	}
	if t.name != "" {
		claims["name"] = t.name
	}
	if len(t.restrictions) > 0 {
		claims["restrictions"] = t.restrictions
	}
	if !t.expires.IsZero() {
		claims["exp"] = t.expires.Unix()
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		s.t.Error(err)
	}
	enc := base64.RawURLEncoding
	input := enc.EncodeToString([]byte(`{"alg":"ES512","typ":"MT+JWT"}`)) + "." + enc.EncodeToString(payload)
	sum := sha512.Sum512([]byte(input))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		s.t.Error(err)
	}
	sig := make([]byte, 132)
	r.FillBytes(sig[:66])
	v.FillBytes(sig[66:])
	return input + "." + enc.EncodeToString(sig)
}

// open finds the line and the number of a mytoken of ours.
func (s *Server) open(mt string) (jti string, seq int64, ok bool) {
	if at, short := s.aliases[mt]; short {
		jti, n, _ := strings.Cut(at, "/")
		seq, _ = strconv.ParseInt(n, 10, 64)
		return jti, seq, true
	}
	parts := strings.Split(mt, ".")
	if len(parts) != 3 {
		return "", 0, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", 0, false
	}
	var c struct {
		JTI string `json:"jti"`
		Seq int64  `json:"seq_no"`
	}
	if json.Unmarshal(payload, &c) != nil || s.tokens[c.JTI] == nil {
		return "", 0, false
	}
	return c.JTI, c.Seq, true
}

// valid is the mytoken, if it may be used.
func (s *Server) valid(mt string) (*token, bool) {
	jti, seq, ok := s.open(mt)
	if !ok {
		return nil, false
	}
	t := s.tokens[jti]
	if seq != t.seq {
		if t.rotation.AutoRevoke {
			t.revoked = true
		}
		return nil, false
	}
	if t.revoked || !t.expires.IsZero() && s.opt.Now().After(t.expires) {
		return nil, false
	}
	return t, true
}

func may(t *token, capability string) bool {
	return slices.ContainsFunc(t.capabilities, func(c string) bool {
		return c == capability || strings.HasPrefix(capability, c+":")
	})
}

// object is the answer that hands a mytoken out.
func (s *Server) object(t *token) map[string]any {
	kind := "token"
	if s.opt.Short {
		kind = "short_token"
	}
	m := map[string]any{
		"mytoken": s.text(t), "mytoken_type": kind, "mom_id": momID(t.jti), "capabilities": t.capabilities,
	}
	if len(t.restrictions) > 0 {
		m["restrictions"] = t.restrictions
	}
	if t.rotation.OnAT || t.rotation.OnOther {
		m["rotation"] = t.rotation
	}
	if !t.expires.IsZero() {
		m["expires_in"] = int64(t.expires.Sub(s.opt.Now()).Seconds())
	}
	return m
}

func momID(jti string) string {
	raw, _ := hex.DecodeString(strings.ReplaceAll(jti, "-", ""))
	sum := sha512.Sum512(raw)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// rotate replaces the used mytoken and puts the new one into the answer.
func (s *Server) rotate(t *token, answer map[string]any, access bool) {
	if access && !t.rotation.OnAT || !access && !t.rotation.OnOther {
		return
	}
	t.seq++
	answer["token_update"] = s.object(t)
}
