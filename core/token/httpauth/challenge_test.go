package httpauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

var (
	none    = &gate.Refusal{Status: 401, Description: "a token is needed", Err: gate.ErrNoToken}
	invalid = &gate.Refusal{Status: 401, Code: gate.InvalidToken, Description: "the token has expired"}
	scarce  = &gate.Refusal{
		Status: 403, Code: gate.InsufficientScope, Description: "the token does not allow this",
		Scope: []string{"storage.read:/a", "storage.stage:/a"},
	}
	down = &gate.Refusal{
		Status: 503, Description: "the token cannot be checked now", RetryAfter: 1500 * time.Millisecond,
		Err: errors.New("connect to op.example.org: refused"),
	}
	broken = &gate.Refusal{Status: 500, Description: "the token could not be checked", Err: errors.New("disk is full")}
)

func TestChallengeHeader(t *testing.T) {
	full := Challenge{
		Realm: "example", Scope: []string{"openid", "profile"},
		ResourceMetadata: "https://api.example.org/.well-known/oauth-protected-resource",
	}
	both := Challenge{Realm: "x", Algs: []jose.Alg{jose.ES256, jose.PS256}}
	meta := `, resource_metadata="https://api.example.org/.well-known/oauth-protected-resource"`
	cases := []struct {
		name   string
		c      Challenge
		scheme gate.Scheme
		r      *gate.Refusal
		want   string
	}{
		{"no token, no error", Challenge{Realm: "example"}, gate.Bearer, none, `Bearer realm="example"`},
		{"nothing to say but the scheme", Challenge{}, gate.Bearer, none, `Bearer`},
		{
			"no token, scopes and metadata are named", full, gate.Bearer, none,
			`Bearer realm="example", scope="openid profile"` + meta,
		},
		{
			"a bad token", full, gate.Bearer, invalid,
			`Bearer realm="example", error="invalid_token", error_description="the token has expired"` + meta,
		},
		{
			"a bad request",
			Challenge{},
			gate.Bearer, malformed("twice", ErrTwoTokens),
			`Bearer error="invalid_request", error_description="twice"`,
		},
		{
			"not allowed, with the scopes that would do",
			Challenge{Realm: "example"},
			gate.Bearer, scarce,
			`Bearer realm="example", error="insufficient_scope", error_description="the token does not allow this", ` +
				`scope="storage.read:/a storage.stage:/a"`,
		},
		{"both schemes are offered", both, gate.Bearer, none, `Bearer realm="x", DPoP realm="x", algs="ES256 PS256"`},
		{
			"the error stands with Bearer", both, gate.Bearer, invalid,
			`Bearer realm="x", error="invalid_token", error_description="the token has expired", ` +
				`DPoP realm="x", algs="ES256 PS256"`,
		},
		{
			"the error stands with DPoP", both, gate.DPoP, invalid,
			`Bearer realm="x", DPoP realm="x", error="invalid_token", error_description="the token has expired", ` +
				`algs="ES256 PS256"`,
		},
		{
			"DPoP that is not offered is not named",
			Challenge{},
			gate.DPoP, invalid,
			`Bearer error="invalid_token", error_description="the token has expired"`,
		},
		{"keys that cannot be had ask for no other token", full, gate.Bearer, down, ""},
		{"trouble of ours", full, gate.Bearer, broken, ""},
		{
			"a quote cannot end the quotes",
			Challenge{Realm: `a", error="x\` + "\r\nSet-Cookie: a=b é"},
			gate.Bearer, none,
			`Bearer realm="a?, error=?x???Set-Cookie: a=b ?"`,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.c.Header(c.scheme, c.r); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestAnswer: status, headers and body of every kind of refusal, as a client sees them.
func TestAnswer(t *testing.T) {
	cases := []struct {
		name  string
		r     *gate.Refusal
		body  string
		retry string
	}{
		{"no token", none, `{"error":"Unauthenticated","error_description":"a token is needed","error_details":null}`, ""},
		{
			"bad token", invalid,
			`{"error":"invalid_token","error_description":"the token has expired","error_details":null}`, "",
		},
		{"not allowed", scarce, `{"error":"insufficient_scope","error_description":"the token does not allow this",` +
			`"error_details":{"scope":"storage.read:/a storage.stage:/a"}}`, ""},
		{"not now", down, `{"error":"temporarily_unavailable","error_description":"the token cannot be checked now",` +
			`"error_details":null}`, "2"},
		{
			"ours", broken,
			`{"error":"server_error","error_description":"the token could not be checked","error_details":null}`, "",
		},
		{
			"forbidden without a code", &gate.Refusal{Status: 403},
			`{"error":"Forbidden","error_description":"","error_details":null}`, "",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("Etag", `"of the page that is not shown"`)
			Challenge{}.Answer(gate.Bearer, c.r).Write(w)
			if got := strings.TrimSpace(w.Body.String()); got != c.body || !json.Valid(w.Body.Bytes()) {
				t.Errorf("\n got %s\nwant %s", got, c.body)
			}
			h := w.Header()
			if w.Code != c.r.Status || h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" ||
				h.Get("Retry-After") != c.retry || h.Get("Etag") != "" {
				t.Errorf("%d %v", w.Code, h)
			}
			if challenged := h.Get("WWW-Authenticate") != ""; challenged != (w.Code < http.StatusInternalServerError) {
				t.Errorf("WWW-Authenticate %q with %d", h.Get("WWW-Authenticate"), w.Code)
			}
			for _, told := range []string{"op.example.org", "disk"} {
				if strings.Contains(w.Body.String(), told) {
					t.Errorf("the client is told the reason: %s", w.Body)
				}
			}
		})
	}
}
