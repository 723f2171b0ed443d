package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// web is a Getter that answers from a table and writes down what was asked.
type web struct {
	mu    sync.Mutex
	pages map[string]*httpc.Response
	fail  error
	delay time.Duration
	asked []string
}

func (w *web) Get(ctx context.Context, url string) (*httpc.Response, error) {
	w.mu.Lock()
	w.asked = append(w.asked, url)
	fail, page, delay := w.fail, w.pages[url], w.delay
	w.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case fail != nil:
		return nil, fail
	case page == nil:
		return &httpc.Response{Status: http.StatusNotFound}, nil
	}
	return page, nil
}

func (w *web) page(url, body string) *web {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pages == nil {
		w.pages = map[string]*httpc.Response{}
	}
	w.pages[url] = &httpc.Response{Status: http.StatusOK, Header: http.Header{}, Body: []byte(body)}
	return w
}

func (w *web) count(url string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(w.asked), func(u string) bool { return u != url }))
}

func (w *web) setFail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = err
}

func document(issuer string) string {
	const doc = `{"issuer":%q,"jwks_uri":"https://op.example/jwks","token_endpoint":"https://op.example/token"}`
	return fmt.Sprintf(doc, issuer)
}

const (
	oidc  = "/.well-known/openid-configuration"
	oauth = "/.well-known/oauth-authorization-server"
)

func TestDiscover(t *testing.T) {
	for _, c := range []struct {
		name, issuer, at string
		asked            int
		oauth2           bool
	}{
		{"openid_connect", "https://op.example", "https://op.example" + oidc, 1, false},
		{"issuer_with_slash", "https://op.example/", "https://op.example" + oidc, 1, false},
		{"below_a_path", "https://op.example/p/q", "https://op.example/p/q" + oidc, 1, false},
		{"below_a_path_with_slash", "https://op.example/p/", "https://op.example/p" + oidc, 1, false},
		{"oauth2", "https://op.example", "https://op.example" + oauth, 2, true},
		{"oauth2_before_the_path", "https://op.example/p", "https://op.example" + oauth + "/p", 2, true},
		{"openid_before_the_path", "https://op.example/p", "https://op.example" + oidc + "/p", 3, false},
		{"encoded_path_is_kept", "https://op.example/a%20b", "https://op.example/a%20b" + oidc, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := (&web{}).page(c.at, document(c.issuer))
			md, err := Discover(t.Context(), w, c.issuer)
			if err != nil {
				t.Fatal(err, w.asked)
			}
			if md.Issuer != c.issuer || md.OAuth2 != c.oauth2 || len(w.asked) != c.asked {
				t.Errorf("%+v after %v", md, w.asked)
			}
		})
	}
}

func TestDiscoverRefuses(t *testing.T) {
	const issuer, at = "https://op.example", "https://op.example" + oidc
	other := func(err error) bool { var e *IssuerError; return errors.As(err, &e) }
	unusable := func(err error) bool { return errors.Is(err, ErrMetadata) }
	for _, c := range []struct {
		name, body string
		is         func(error) bool
	}{
		{"issuer_with_slash", document(issuer + "/"), other},
		{"issuer_in_capitals", document("https://OP.example"), other},
		{"issuer_missing", `{"token_endpoint":"https://op.example/token"}`, unusable},
		{"issuer_twice", `{"issuer":"https://op.example","issuer":"https://op.example"}`, unusable},
		{"issuer_number", `{"issuer":1}`, unusable},
		{"keys_not_https", `{"issuer":"https://op.example","jwks_uri":"http://127.0.0.1/jwks"}`, unusable},
		{"endpoint_not_https", `{"issuer":"https://op.example","token_endpoint":"http://op.example/token"}`, unusable},
		{"endpoint_relative", `{"issuer":"https://op.example","token_endpoint":"/token"}`, unusable},
		{"endpoint_with_password", `{"issuer":"https://op.example","jwks_uri":"https://a:b@op.example/"}`, unusable},
		{"list_of_numbers", `{"issuer":"https://op.example","scopes_supported":[1]}`, unusable},
		{"cut_off", `{"issuer":"https://op.example"`, unusable},
		{"page_for_people", `<html>`, func(err error) bool { return errors.Is(err, ErrNoMetadata) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Discover(t.Context(), (&web{}).page(at, c.body), issuer)
			if err == nil || !c.is(err) {
				t.Errorf("%v", err)
			}
		})
	}
	for _, bad := range []string{
		"", "op.example", "ftp://op.example", "https://", "https://u@op.example",
		"https://op.example?x",
		"https://op.example#x", "https://op.example/\x00",
	} {
		t.Run("issuer_url_"+bad, func(t *testing.T) {
			w := &web{}
			if _, err := Discover(t.Context(), w, bad); !errors.Is(err, ErrIssuerURL) || len(w.asked) > 0 {
				t.Errorf("%v after %v", err, w.asked)
			}
		})
	}
}

func TestDiscoverFailures(t *testing.T) {
	t.Run("unreachable_is_asked_once", func(t *testing.T) {
		w := &web{fail: errors.New("unreachable")}
		if _, err := Discover(t.Context(), w, "https://op.example/p"); !errors.Is(err, w.fail) || len(w.asked) != 1 {
			t.Errorf("%v after %v", err, w.asked)
		}
	})
	t.Run("server_in_trouble_is_not_absent", func(t *testing.T) {
		w := (&web{}).page("https://op.example"+oidc, "")
		w.pages["https://op.example"+oidc].Status = http.StatusBadGateway
		_, err := Discover(t.Context(), w, "https://op.example")
		var status *StatusError
		if !errors.As(err, &status) || status.Status != http.StatusBadGateway {
			t.Error(err)
		}
	})
	t.Run("nowhere", func(t *testing.T) {
		if _, err := Discover(t.Context(), &web{}, "https://op.example/p"); !errors.Is(err, ErrNoMetadata) {
			t.Error(err)
		}
	})
}

func TestDiscoverTyped(t *testing.T) {
	for _, c := range []struct {
		name, typed, issuer string
		note, ok            bool
	}{
		{"exact", "https://op.example", "https://op.example", false, true},
		{"slash_missing", "https://op.example", "https://op.example/", true, true},
		{"slash_too_many", "https://op.example/", "https://op.example", true, true},
		{"two_slashes_missing", "https://op.example", "https://op.example//", false, false},
		{"other_host", "https://op.example", "https://evil.example", false, false},
		{"other_scheme", "https://op.example", "http://op.example", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := (&web{}).page("https://op.example"+oidc, fmt.Sprintf(`{"issuer":%q}`, c.issuer))
			md, note, err := DiscoverTyped(t.Context(), w, c.typed)
			if (err == nil) != c.ok || (note != "") != c.note {
				t.Fatalf("note %q, error %v", note, err)
			}
			if c.ok && md.Issuer != c.issuer {
				t.Error(md.Issuer)
			}
			if c.note && !strings.Contains(note, c.issuer) {
				t.Error(note)
			}
		})
	}
}

func TestDiscoverAt(t *testing.T) {
	const at = "https://conf.example/oidc.json"
	md, err := DiscoverAt(t.Context(), (&web{}).page(at, document("https://op.example")), at)
	if err != nil || md.Issuer != "https://op.example" {
		t.Errorf("%+v, %v", md, err)
	}
}

func TestParseKeepsDocument(t *testing.T) {
	doc := `{"issuer":"http://127.0.0.1:8080","grant_types_supported":"refresh_token",` +
		`"authorization_response_iss_parameter_supported":true,"x":{"y":[1]}}`
	md, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if string(md.Raw) != doc || !md.ResponseIssSupported || !slices.Equal(md.GrantTypesSupported,
		[]string{"refresh_token"}) {
		t.Errorf("%+v", md)
	}
}

func FuzzDiscovery(f *testing.F) {
	f.Add([]byte(document("https://op.example")))
	f.Add([]byte(`{"issuer":"https://op.example/p?","scopes_supported":["a"]}`))
	f.Add([]byte(`{"issuer":"http://localhost","x":[[[]]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		md, err := Parse(b)
		if err != nil {
			return
		}
		if CheckIssuer(md.Issuer) != nil {
			t.Fatalf("issuer %q came through", md.Issuer)
		}
		for _, e := range md.endpoints() {
			if strings.HasPrefix(md.Issuer, "https://") && *e.to != "" && !strings.HasPrefix(strings.ToLower(*e.to),
				"https://") {
				t.Fatalf("%s of an https issuer is %q", e.name, *e.to)
			}
		}
	})
}
