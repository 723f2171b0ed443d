package flow_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

var oldRefresh = secret.FromString("the-old-refresh-token-0123456789")

// TestAnswers are ways in which real providers answer a refresh.
func TestAnswers(t *testing.T) {
	f := newFake(t)
	in := func(d time.Duration) time.Time { return f.now.Add(d) }
	tests := []struct {
		name, body string
		refresh    string
		scope      string
		expires    time.Time
		err        error
	}{
		{name: "plain", body: `{"access_token":"at","token_type":"Bearer"}`},
		{name: "lower_case_token_type", body: `{"access_token":"at","token_type":"bearer"}`},
		{name: "upper_case_token_type", body: `{"access_token":"at","token_type":"BEARER"}`},
		{name: "no_token_type", body: `{"access_token":"at"}`},
		{name: "no_refresh_token", body: `{"access_token":"at","token_type":"Bearer"}`},
		{name: "null_refresh_token", body: `{"access_token":"at","token_type":"Bearer","refresh_token":null}`},
		{name: "new_refresh_token", body: `{"access_token":"at","token_type":"Bearer","refresh_token":"n"}`, refresh: "n"},
		{name: "no_scope", body: `{"access_token":"at","token_type":"Bearer"}`},
		{name: "scope", body: `{"access_token":"at","token_type":"Bearer","scope":"a  b"}`, scope: "a b"},
		{name: "scope_as_array", body: `{"access_token":"at","token_type":"Bearer","scope":["a","b"]}`, scope: "a b"},
		{name: "scope_is_a_number", body: `{"access_token":"at","token_type":"Bearer","scope":7}`},
		{name: "seconds", body: `{"access_token":"at","token_type":"Bearer","expires_in":60}`, expires: in(time.Minute)},
		{name: "seconds_as_text", body: `{"access_token":"at","expires_in":"60"}`, expires: in(time.Minute)},
		{name: "seconds_with_a_fraction", body: `{"access_token":"at","expires_in":60.0}`, expires: in(time.Minute)},
		{name: "no_time_left", body: `{"access_token":"at","expires_in":0}`, expires: in(0)},
		{name: "negative_seconds", body: `{"access_token":"at","expires_in":-5}`, expires: in(0)},
		{
			name: "seconds_beyond_all_numbers", body: `{"access_token":"at","expires_in":1e999}`,
			expires: in(87600 * time.Hour),
		},
		{
			name: "seconds_that_overflow", body: `{"access_token":"at","expires_in":9223372036854775807}`,
			expires: in(87600 * time.Hour),
		},
		{name: "seconds_make_no_sense", body: `{"access_token":"at","expires_in":"soon"}`},
		{name: "seconds_not_a_number", body: `{"access_token":"at","expires_in":"NaN"}`},

		{
			name: "DPoP", body: `{"access_token":"at","token_type":"DPoP","refresh_token":"n"}`, refresh: "n",
			err: flow.ErrTokenType,
		},
		{name: "MAC", body: `{"access_token":"at","token_type":"mac"}`, err: flow.ErrTokenType},
		{
			name: "token_type_is_a_number", body: `{"access_token":"at","token_type":1,"refresh_token":"n"}`, refresh: "n",
			err: flow.ErrAnswer,
		},
		{name: "no_access_token", body: `{"token_type":"Bearer","refresh_token":"n"}`, refresh: "n", err: flow.ErrAnswer},
		{
			name: "access_token_breaks_a_header", body: `{"access_token":"a\r\nX: y","token_type":"Bearer"}`,
			err: flow.ErrAnswer,
		},
		{name: "access_token_is_an_object", body: `{"access_token":{},"token_type":"Bearer"}`, err: flow.ErrAnswer},
		{name: "repeated_member", body: `{"access_token":"at","access_token":"other"}`, err: flow.ErrAnswer},
		{name: "form_encoded", body: `access_token=at&token_type=bearer`, err: flow.ErrAnswer},
		{name: "HTML", body: `<html><body>Log in to the airport</body></html>`, err: flow.ErrAnswer},
		{name: "empty", body: ``, err: flow.ErrAnswer},
		{name: "array", body: `[]`, err: flow.ErrAnswer},
		{name: "two_objects", body: `{"access_token":"at"}{"access_token":"b"}`, err: flow.ErrAnswer},
		{
			name: "too_deep", body: `{"access_token":"at","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
			err: flow.ErrAnswer,
		},
		{name: "too_many_members", body: `{"access_token":"at"` + manyMembers(2000) + `}`, err: flow.ErrAnswer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.answersJSON(200, tt.body)
			tok, err := f.client(t).Refresh(t.Context(), oldRefresh, flow.Request{})
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if got := tok.Refresh.Expose(); got != tt.refresh {
				t.Errorf("refresh token %q, want %q", got, tt.refresh)
			}
			if (err == nil) == tok.Access.Empty() {
				t.Errorf("access token %q beside %v", tok.Access.Expose(), err)
			}
			if tok.Scope != tt.scope || !tok.Expires.Equal(tt.expires) {
				t.Errorf("scope %q, expires %v; want %q, %v", tok.Scope, tok.Expires, tt.scope, tt.expires)
			}
			if flow.NeedsLogin(err) || flow.Temporary(err) {
				t.Errorf("misjudged: %v", err)
			}
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":1`, i)
	}
	return b.String()
}

// TestRefusals: what a refusal means, and that its text is fit for a terminal and has no secret in it.
func TestRefusals(t *testing.T) {
	f := newFake(t)
	const rt = "the-old-refresh-token-0123456789"
	tests := []struct {
		name, body                       string
		status                           int
		needsLogin, unknownClient, again bool
		text                             string // part of the error
	}{
		{
			name: "revoked", status: 400, body: `{"error":"invalid_grant","error_description":"gone"}`, needsLogin: true,
			text: "invalid_grant: gone",
		},
		{name: "revoked_with_401", status: 401, body: `{"error":"invalid_grant"}`, needsLogin: true, text: "invalid_grant"},
		{name: "refused_with_200", status: 200, body: `{"error":"invalid_grant"}`, needsLogin: true, text: "invalid_grant"},
		{
			name: "forgotten_client", status: 401, body: `{"error":"invalid_client"}`, unknownClient: true,
			text: "invalid_client",
		},
		{
			name: "wants_the_person", status: 400, body: `{"error":"interaction_required"}`, needsLogin: true,
			text: "interaction_required",
		},
		{name: "wrong_scope", status: 400, body: `{"error":"invalid_scope"}`, text: "invalid_scope"},
		{name: "wants_a_DPoP_nonce", status: 400, body: `{"error":"use_dpop_nonce"}`, text: "use_dpop_nonce"},
		{
			name: "overloaded", status: 503, body: `{"error":"temporarily_unavailable"}`, again: true,
			text: "temporarily_unavailable",
		},
		{
			name: "temporary_with_400", status: 400, body: `{"error":"temporarily_unavailable"}`, again: true,
			text: "temporarily_unavailable",
		},
		{name: "too_many", status: 429, body: ``, again: true, text: "429 Too Many Requests"},
		{name: "gateway_page", status: 502, body: `<html>`, again: true, text: "502 Bad Gateway"},
		{
			name: "server_error_that_blames_the_grant", status: 500, body: `{"error":"invalid_grant"}`, again: true,
			text: "invalid_grant",
		},
		{name: "not_implemented", status: 501, body: ``, text: "501"},
		{name: "not_found_page", status: 404, body: `<html>nothing</html>`, text: "404 Not Found"},
		{name: "redirect", status: 302, body: ``, text: "redirect"},

		{
			name: "repeats_the_refresh_token", status: 400, needsLogin: true, text: "Invalid refresh token: [secret]",
			body: `{"error":"invalid_grant","error_description":"Invalid refresh token: ` + rt + `"}`,
		},
		{
			name: "repeats_half_of_it", status: 400, needsLogin: true, text: "Invalid refresh token: [secret]...",
			body: `{"error":"invalid_grant","error_description":"Invalid refresh token: ` + rt[:20] + `..."}`,
		},
		{
			name: "repeats_the_client_secret", status: 401, unknownClient: true, text: "bad secret [secret]",
			body: `{"error":"invalid_client","error_description":"bad secret s3cret of the client"}`,
		},
		{
			name: "repeats_the_client_secret_as_sent", status: 401, unknownClient: true, text: "bad secret [secret]",
			body: `{"error":"invalid_client","error_description":"bad secret s3cret+of+the+client"}`,
		},
		{
			name: "repeats_the_authorization_header", status: 401, unknownClient: true, text: "cannot read Basic [secret]",
			body: `{"error":"invalid_client","error_description":"cannot read Basic ` +
				base64.StdEncoding.EncodeToString([]byte("box:s3cret+of+the+client")) + `"}`,
		},
		{name: "repeats_it_as_the_code", status: 400, text: "unreadable_error", body: `{"error":"` + rt + `"}`},
		{
			name: "terminal_escapes", status: 400, needsLogin: true, text: "invalid_grant: [31mred ]0;title",
			body: `{"error":"invalid_grant","error_description":"\u001b[31mred\u001b]0;title\u0007"}`,
		},
		{
			name: "line_breaks", status: 400, needsLogin: true, text: "invalid_grant: one two three",
			body: `{"error":"invalid_grant","error_description":"one\r\ntwo\u2028three"}`,
		},
		{
			name: "direction_marks", status: 400, needsLogin: true, text: "invalid_grant: abc def",
			body: `{"error":"invalid_grant","error_description":"abc\u202edef"}`,
		},
		{name: "code_with_escapes", status: 400, text: "unreadable_error", body: `{"error":"\u001b[2Jinvalid_grant"}`},
		{
			name: "long_text", status: 400, needsLogin: true, text: "xxx...",
			body: `{"error":"invalid_grant","error_description":"` + strings.Repeat("x", 5000) + `"}`,
		},
		{name: "error_is_an_object", status: 400, text: "400 Bad Request", body: `{"error":{"code":"invalid_grant"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.answersJSON(tt.status, tt.body)
			_, err := f.client(t).Refresh(t.Context(), oldRefresh, flow.Request{})
			if err == nil {
				t.Fatal("accepted")
			}
			got := []bool{flow.NeedsLogin(err), flow.UnknownClient(err), flow.Temporary(err)}
			if want := []bool{tt.needsLogin, tt.unknownClient, tt.again}; !slices.Equal(got, want) {
				t.Errorf("needs login, unknown client, temporary = %v, want %v", got, want)
			}
			msg := err.Error()
			if !strings.Contains(msg, tt.text) || len(msg) > 500 {
				t.Errorf("text %q, want %q in it", msg, tt.text)
			}
			if strings.Contains(msg, rt[:12]) || strings.Contains(msg, "s3cret") ||
				strings.ContainsFunc(msg, func(r rune) bool { return r < ' ' || r == 0x202e || r == 0x2028 }) {
				t.Errorf("unfit text %q", msg)
			}
			if n := len(f.requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestTokenEndpointRedirects: the secret does not follow.
func TestTokenEndpointRedirects(t *testing.T) {
	f := newFake(t)
	for _, status := range []int{301, 302, 303, 307, 308} {
		f.answers(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, f.URL+"/elsewhere", status)
		})
		_, err := f.client(t).Refresh(t.Context(), oldRefresh, flow.Request{})
		if err == nil || flow.NeedsLogin(err) || flow.Temporary(err) || len(f.requests()) != 1 {
			t.Errorf("%d: %v, %d requests", status, err, len(f.requests()))
		}
	}
}

func TestClientAuthentication(t *testing.T) {
	f := newFake(t)
	weird := secret.FromString("pä:ss %+/&=word")
	tests := []struct {
		name   string
		cc     flow.ClientConfig
		lists  []string // token_endpoint_auth_methods_supported
		header bool
		inBody bool
		err    error
	}{
		{name: "basic_by_default", cc: flow.ClientConfig{ID: "a:b", Secret: weird}, header: true},
		{name: "basic_before_post", cc: flow.ClientConfig{ID: "a:b", Secret: weird}, lists: []string{
			"client_secret_post",
			"client_secret_basic",
		}, header: true},
		{
			name: "post_where_only_that", cc: flow.ClientConfig{ID: "a:b", Secret: weird},
			lists: []string{"client_secret_post"}, inBody: true,
		},
		{
			name: "as_registered", cc: flow.ClientConfig{ID: "a:b", Secret: weird, AuthMethod: "client_secret_post"},
			lists: []string{"client_secret_basic"}, inBody: true,
		},
		{name: "shared_public_client", cc: flow.ClientConfig{ID: "a:b", Secret: weird, Public: true}, inBody: true},
		{name: "no_secret", cc: flow.ClientConfig{ID: "a:b"}},
		{name: "none_although_there_is_a_secret", cc: flow.ClientConfig{ID: "a:b", Secret: weird, AuthMethod: "none"}},
		{name: "unknown_method", cc: flow.ClientConfig{ID: "a:b", AuthMethod: "private_key_jwt"}, err: flow.ErrAuthMethod},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.answersJSON(200, `{"access_token":"at"}`)
			f.md.TokenAuthMethods = tt.lists
			c := f.client(t, func(cc *flow.ClientConfig, _ *flow.Options) { *cc = tt.cc })
			_, err := c.Refresh(t.Context(), oldRefresh, flow.Request{})
			if tt.err != nil {
				if !errors.Is(err, tt.err) || len(f.requests()) > 0 {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r := f.requests()[0]
			user, pass, ok := (&http.Request{Header: r.header}).BasicAuth()
			if ok != tt.header {
				t.Fatalf("header: %v", ok)
			}
			if ok { // RFC 6749 2.3.1: form-encoded on the wire
				user, _ = url.QueryUnescape(user)
				pass, _ = url.QueryUnescape(pass)
				if user != "a:b" || pass != weird.Expose() || r.form.Has("client_id") {
					t.Fatalf("%q %q %v", user, pass, r.form)
				}
				return
			}
			if r.form.Get("client_id") != "a:b" || (r.form.Get("client_secret") == weird.Expose()) != tt.inBody {
				t.Fatalf("body %v", r.form)
			}
		})
	}
}

func TestAudienceStyles(t *testing.T) {
	f := newFake(t)
	uris := []string{"https://a.example", "urn:example:b"}
	tests := []struct {
		name  string
		style flow.AudienceStyle
		in    []string
		want  url.Values
		err   error
	}{
		{"resource_is_the_default", "", uris, url.Values{"resource": uris}, nil},
		{"resource", flow.AudienceResource, uris, url.Values{"resource": uris}, nil},
		{
			"resource_beside_a_plain_name", flow.AudienceResource,
			[]string{"https://a.example", "se"},
			url.Values{"resource": {"https://a.example"}, "audience": {"se"}},
			nil,
		},
		{"path_is_no_resource", flow.AudienceResource, []string{"/data"}, url.Values{"audience": {"/data"}}, nil},
		{
			"fragment_is_no_resource", flow.AudienceResource,
			[]string{"https://a.example#"},
			url.Values{"audience": {"https://a.example#"}},
			nil,
		},
		{"host_is_no_resource", flow.AudienceResource, []string{"https:///x"}, url.Values{"audience": {"https:///x"}}, nil},
		{"audience_repeated", flow.AudienceRepeated, []string{"se", "b"}, url.Values{"audience": {"se", "b"}}, nil},
		{"fixed_and_asked_for", "fixed:any", []string{"any"}, url.Values{"audience": {"any"}}, nil},
		{"fixed_and_not_asked_for", "fixed:any", nil, url.Values{"audience": {"any"}}, nil},
		{"fixed_and_another_asked_for", "fixed:any", []string{"se"}, nil, flow.ErrAudience},
		{"fixed_to_nothing", "fixed:", nil, nil, flow.ErrAudience},
		{"unknown_style", "carrier-pigeon", []string{"se"}, nil, flow.ErrAudience},
		{"audience", flow.AudienceParam, []string{"se", "b"}, url.Values{"audience": {"se", "b"}}, nil},
		{"audience_joined", flow.AudienceJoined, []string{"se", "b"}, url.Values{"audience": {"se b"}}, nil},
		{"none", flow.AudienceNone, []string{"se"}, nil, flow.ErrAudience},
		{"none_and_not_asked_for", flow.AudienceNone, nil, url.Values{}, nil},
		{"empty_value", flow.AudienceParam, []string{""}, nil, flow.ErrAudience},
		{"value_with_a_blank", flow.AudienceParam, []string{"a b"}, nil, flow.ErrAudience},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.answersJSON(200, `{"access_token":"at"}`)
			c := f.client(t, func(_ *flow.ClientConfig, o *flow.Options) { o.Audience = tt.style })
			_, err := c.Refresh(t.Context(), oldRefresh, flow.Request{Audience: tt.in})
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("got %v", err)
			}
			if tt.err != nil {
				if len(f.requests()) > 0 {
					t.Fatal("it was sent")
				}
				return
			}
			form := f.requests()[0].form
			for _, name := range []string{"resource", "audience"} {
				if !slices.Equal(form[name], tt.want[name]) {
					t.Errorf("%s %q, want %q", name, form[name], tt.want[name])
				}
			}
		})
	}
}

// TestIssuerWithPath: with and without a slash at the end, byte for byte.
func TestIssuerWithPath(t *testing.T) {
	f := newFake(t)
	for _, path := range []string{"/realms/vo", "/realms/vo/"} {
		f.md.Issuer = f.URL + path
		tok, err := f.finish(t, func(good map[string]any) string { return f.sign(t, "", good) })
		if err != nil || tok.Subject != "alice" {
			t.Errorf("%s: %v", path, err)
		}
		_, err = f.finish(t, func(good map[string]any) string {
			good["iss"] = strings.TrimSuffix(f.md.Issuer, "/") + strings.Repeat("/", 1-strings.Count(path[len(path)-1:], "/"))
			return f.sign(t, "", good)
		})
		if !errors.Is(err, flow.ErrIDToken) {
			t.Errorf("%s with the other ending: %v", path, err)
		}
	}
}

func TestRevocation(t *testing.T) {
	f := newFake(t)
	t.Run("refused_without_client_id", func(t *testing.T) {
		f.answers(func(w http.ResponseWriter, r *http.Request) {
			if r.Form.Get("client_id") == "" {
				w.WriteHeader(400)
			}
		})
		if err := f.client(t).Revoke(t.Context(), oldRefresh, "refresh_token"); err != nil || len(f.requests()) != 2 {
			t.Fatalf("%v, %d requests", err, len(f.requests()))
		}
	})
	t.Run("unavailable_is_not_repeated", func(t *testing.T) {
		f.answersJSON(503, "")
		err := f.client(t).Revoke(t.Context(), oldRefresh, "")
		if !flow.Temporary(err) || len(f.requests()) != 1 {
			t.Fatalf("%v, %d requests", err, len(f.requests()))
		}
	})
	for name, body := range map[string]string{"empty": "", "object": "{}", "HTML": "<p>ok", "text": "revoked"} {
		t.Run("success_with_"+name, func(t *testing.T) {
			f.answersJSON(200, body)
			if err := f.client(t).Revoke(t.Context(), oldRefresh, ""); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("error_with_200", func(t *testing.T) {
		f.answersJSON(200, `{"error":"invalid_request"}`)
		if err := f.client(t).Revoke(t.Context(), oldRefresh, ""); err == nil {
			t.Fatal("taken for success")
		}
	})
	t.Run("not_offered", func(t *testing.T) {
		f.md.RevocationEndpoint = ""
		if err := f.client(t).Revoke(t.Context(), oldRefresh, ""); !errors.Is(err, flow.ErrNoEndpoint) {
			t.Fatal(err)
		}
	})
}

func TestIntrospectionAndUserinfo(t *testing.T) {
	f := newFake(t)
	at := secret.FromString("an-access-token-0123456789")
	tests := []struct {
		name, body string
		status     int
		introspect bool // fine as an introspection answer
		userinfo   bool
	}{
		{"active", `{"active":true,"sub":"a"}`, 200, true, true},
		{"inactive", `{"active":false}`, 200, true, false},
		{"active_as_text", `{"active":"true","sub":"a"}`, 200, false, true},
		{"neither", `{}`, 200, false, false},
		{"subject_is_a_list", `{"sub":["a"]}`, 200, false, false},
		{"HTML", `<html>`, 200, false, false},
		{"a_JWT", `eyJhbGciOiJub25lIn0.e30.`, 200, false, false},
		{"not_found", ``, 404, false, false},
		{"created", `{"active":true,"sub":"a"}`, 201, false, false},
		{"a_part", `{"active":true,"sub":"a"}`, 206, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.answersJSON(tt.status, tt.body)
			if _, err := f.client(t).Introspect(t.Context(), at); (err == nil) != tt.introspect {
				t.Errorf("introspection: %v", err)
			}
			if _, err := f.client(t).Userinfo(t.Context(), at); (err == nil) != tt.userinfo {
				t.Errorf("userinfo: %v", err)
			}
		})
	}
	for _, kind := range []string{"application/jwt", "Application/Token-Introspection+JWT; charset=utf-8"} {
		t.Run("JSON_that_is_called_"+kind, func(t *testing.T) {
			f.answers(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", kind)
				_, _ = io.WriteString(w, `{"active":true,"sub":"a"}`)
			})
			if _, err := f.client(t).Introspect(t.Context(), at); !errors.Is(err, flow.ErrAnswer) {
				t.Errorf("introspection: %v", err)
			}
			if _, err := f.client(t).Userinfo(t.Context(), at); !errors.Is(err, flow.ErrAnswer) {
				t.Errorf("userinfo: %v", err)
			}
		})
	}
	t.Run("refusal_in_the_header", func(t *testing.T) {
		f.answers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="x", error="invalid_token"`)
			w.WriteHeader(401)
		})
		if _, err := f.client(t).Userinfo(t.Context(), at); !flow.NeedsLogin(err) {
			t.Fatal(err)
		}
	})
	t.Run("userinfo_redirects_nowhere_with_the_token", func(t *testing.T) {
		f.answers(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
		if _, err := f.client(t).Userinfo(t.Context(), at); err == nil || len(f.requests()) != 1 {
			t.Fatalf("%v, %d requests", err, len(f.requests()))
		}
	})
}

func TestPassword(t *testing.T) {
	f := newFake(t)
	f.answersJSON(400, `{"error":"invalid_grant","error_description":"wrong password hunter2hunter2 for alice"}`)
	_, err := f.client(t).Password(t.Context(), "alice", secret.FromString("hunter2hunter2"), flow.Request{})
	if !flow.NeedsLogin(err) || strings.Contains(err.Error(), "hunter2") {
		t.Fatal(err)
	}
	form := f.requests()[0].form
	if form.Get("grant_type") != "password" || form.Get("username") != "alice" ||
		form.Get("password") != "hunter2hunter2" {
		t.Fatal(form)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"access_token":"at","token_type":"Bearer","expires_in":"60","scope":["a"],"refresh_token":"n"}`))
	f.Add([]byte(`{"access_token":"at","expires_in":1e999,
		"issued_token_type":"urn:ietf:params:oauth:token-type:refresh_token"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := jose.StrictObject(b, 16, 2000)
		if err != nil {
			return
		}
		now := time.Unix(1_800_000_000, 0)
		tok, err := flow.ReadTokens(o, now)
		if err == nil && tok.Access.Empty() && tok.Refresh.Empty() {
			t.Fatal("success without a token")
		}
		if !tok.Expires.IsZero() && (tok.Expires.Before(now) || tok.Expires.After(now.Add(87600*time.Hour))) {
			t.Fatalf("lifetime out of bounds: %v", tok.Expires)
		}
	})
}
