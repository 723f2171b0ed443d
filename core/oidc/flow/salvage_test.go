package flow_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// TestSalvage: an answer that is refused for its form may still be the only place where the next refresh token stands.
func TestSalvage(t *testing.T) {
	f := newFake(t)
	const good = `"access_token":"at","refresh_token":"next-token"`
	for _, tt := range []struct {
		name, body, want string
		status           int
	}{
		{"repeated_member", `{` + good + `,"scope":"a","scope":"b"}`, "next-token", 200},
		{"repeated_refresh_token", `{"refresh_token":"first","refresh_token":"next-token"}`, "next-token", 200},
		{"warning_after_it", `{` + good + "}\nWarning: Undefined index in /srv/www", "next-token", 200},
		{"byte_order_mark", "\ufeff{" + good + "}", "next-token", 200},
		{"bad_UTF8", `{` + good + ",\"name\":\"J\xfcrgen\"}", "next-token", 200},
		{"cut_off_later", `{` + good + `,"id_token":"eyJ`, "next-token", 200},
		{"cut_off_inside", `{"access_token":"at","refresh_token":"next-tok`, "", 200},
		{"too_deep", `{` + good + `,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "next-token", 200},
		{"inside_another_member", `{"error_page":{"refresh_token":"wrong"},"x":1,"x":2}`, "", 200},
		{"in_an_array", `[{"refresh_token":"wrong"}]`, "", 200},
		{"not_a_string", `{"refresh_token":{"a":1,"a":2}}`, "", 200},
		{"refused", `{"error":"invalid_grant","error":"x","refresh_token":"echo"}`, "", 400},
		{"page", `<html>"refresh_token":"wrong"</html>`, "", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.answersJSON(tt.status, tt.body)
			var kept string
			q := flow.Request{Keep: func(rt secret.Text) { kept = rt.Expose() }}
			tok, err := f.client(t).Refresh(t.Context(), oldRefresh, q)
			if err == nil || tt.status == 200 && !errors.Is(err, flow.ErrAnswer) {
				t.Fatalf("accepted: %v", err)
			}
			if !tok.Access.Empty() || tok.Refresh.Expose() != tt.want || kept != tt.want {
				t.Fatalf("returned %q, kept %q, want %q", tok.Refresh.Expose(), kept, tt.want)
			}
		})
	}
}

// TestSalvageFromHalfAnAnswer: the connection breaks behind the refresh token.
func TestSalvageFromHalfAnAnswer(t *testing.T) {
	f := newFake(t)
	f.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"access_token":"at","refresh_token":"next-token","expires_in":3600}`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	tok, err := f.client(t).Refresh(t.Context(), oldRefresh, flow.Request{})
	if err == nil || httpc.Unsent(err) || !flow.Temporary(err) || strings.Contains(err.Error(), "next-token") {
		t.Fatalf("got %v", err)
	}
	if !tok.Access.Empty() || tok.Refresh.Expose() != "next-token" {
		t.Fatalf("returned %q", tok.Refresh.Expose())
	}
}
