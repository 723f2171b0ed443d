package mytokentest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken/mytokentest"
)

// recorder is a test that keeps what would have failed it.
type recorder struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	said := r.said
	r.said = nil
	return said
}

// TestServerIsStrict: what is not in the protocol fails the test of whoever sends it.
func TestServerIsStrict(t *testing.T) {
	rec := &recorder{TB: t}
	srv := mytokentest.Start(rec)
	mt := srv.Mint()
	post := func(path, kind, body string) {
		t.Helper()
		resp, err := http.Post(srv.URL+path, kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	const js, form = "application/json", "application/x-www-form-urlencoded"
	for _, tt := range []struct{ name, path, kind, body string }{
		{"unknown_member", mytokentest.PathAccess, js, `{"grant_type":"mytoken","mytoken":"` + mt + `","client_id":"x"}`},
		{"audience_is_a_list", mytokentest.PathAccess, js, `{"grant_type":"mytoken","mytoken":"` + mt + `","audience":["a"]}`},
		{"unknown_field", mytokentest.PathAccess, form, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {mt}, "client_id": {"x"}}.Encode()},
		{"field_twice", mytokentest.PathAccess, form, "grant_type=refresh_token&refresh_token=" + mt + "&scope=a&scope=b"},
		{"content_type", mytokentest.PathInfo, "text/plain", `{"action":"introspect","mytoken":"` + mt + `"}`},
		{"query", mytokentest.PathMytoken + "?grant_type=mytoken", js, `{"mytoken":"` + mt + `"}`},
		{"not_strict_about_restrictions", mytokentest.PathMytoken, js, `{"grant_type":"mytoken","mytoken":"` + mt + `"}`},
		{"recursive_is_text", mytokentest.PathRevoke, js, `{"token":"` + mt + `","recursive":"true"}`},
	} {
		post(tt.path, tt.kind, tt.body)
		if len(rec.take()) == 0 {
			t.Errorf("%s: taken without a word", tt.name)
		}
	}
	post(mytokentest.PathAccess, js, `{"grant_type":"mytoken","mytoken":"`+mt+`","audience":"a b"}`)
	post(mytokentest.PathAccess, form, "grant_type=refresh_token&refresh_token="+mt)
	if said := rec.take(); len(said) > 0 {
		t.Errorf("of good requests: %q", said)
	}
}
