package provider

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// secure is a provider behind real TLS, and a client that believes its certificate.
type secure struct {
	*httptest.Server
	mux *http.ServeMux
	hc  *httpc.Client
	set string
}

func newSecure(t *testing.T) *secure {
	t.Helper()
	s := &secure{mux: http.NewServeMux()}
	s.Server = httptest.NewUnstartedServer(s.mux)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused certificates are part of the tests
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.hc, err = httpc.New(httpc.Options{CAFile: ca, Timeout: time.Minute}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.hc.CloseIdle() })
	k, err := jose.GenerateKey(jose.ES256, "k1")
	if err != nil {
		t.Fatal(err)
	}
	b, err := jose.NewKeySet(k.Public()).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	s.set = string(b)
	return s
}

// page serves a body at a path, with any content type; "%s" in it is the server's URL.
func (s *secure) page(path, body string) {
	s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.ReplaceAll(body, "%s", s.URL)))
	})
}

func (s *secure) redirect(path, to string) {
	s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.ReplaceAll(to, "%s", s.URL), http.StatusFound)
	})
}

func (s *secure) status(path string, code int) {
	s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

func (s *secure) keys(t *testing.T, path string) (*jose.KeySet, error) {
	t.Helper()
	k := NewKeys(s.hc, KeysOptions{})
	defer k.Close()
	return k.Set(t.Context(), s.URL+path)
}

// TestDiscoveryOverHTTP is what issuers really do, and what they must not do. A case with no error has to give the key.
func TestDiscoveryOverHTTP(t *testing.T) {
	const doc = `{"issuer":"%s","jwks_uri":"%s/jwks"}`
	for _, c := range []struct {
		name string
		make func(s *secure)
		path string // of the issuer
		err  error
	}{
		{"plain", func(s *secure) { s.page(oidc, doc); s.page("/jwks", s.set) }, "", nil},
		{"content_type_of_a_page_for_people", func(s *secure) {
			s.mux.HandleFunc("GET "+oidc, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/jwks"}`, s.URL, s.URL)
			})
			s.page("/jwks", s.set)
		}, "", nil},
		{"path_of_openid_connect", func(s *secure) {
			s.page("/a/b"+oidc, `{"issuer":"%s/a/b","jwks_uri":"%s/jwks"}`)
			s.page("/jwks", s.set)
		}, "/a/b", nil},
		{"path_of_rfc_8414", func(s *secure) {
			s.page(oauth+"/a/b", `{"issuer":"%s/a/b","jwks_uri":"%s/jwks"}`)
			s.page("/jwks", s.set)
		}, "/a/b", nil},
		{"path_of_rfc_8414_for_openid_connect", func(s *secure) {
			s.page(oidc+"/a/b", `{"issuer":"%s/a/b","jwks_uri":"%s/jwks"}`)
			s.page("/jwks", s.set)
		}, "/a/b", nil},
		{"page_for_people_at_the_first_place", func(s *secure) {
			s.page("/a"+oidc, "<!doctype html>")
			s.page(oauth+"/a", `{"issuer":"%s/a","jwks_uri":"%s/jwks"}`)
			s.page("/jwks", s.set)
		}, "/a", nil},
		{"forbidden_at_the_first_place", func(s *secure) {
			s.status("/a"+oidc, http.StatusForbidden)
			s.page(oauth+"/a", `{"issuer":"%s/a","jwks_uri":"%s/jwks"}`)
			s.page("/jwks", s.set)
		}, "/a", nil},
		{"slash_at_the_end", func(s *secure) {
			s.page(oidc, `{"issuer":"%s/","jwks_uri":"%s/jwks"}`)
			s.page("/jwks", s.set)
		}, "/", nil},
		{"slash_that_the_document_has_not", func(s *secure) { s.page(oidc, doc); s.page("/jwks", s.set) }, "/", ErrUnavailable},
		{"document_of_another_path", func(s *secure) {
			s.page("/a"+oidc, `{"issuer":"%s/b","jwks_uri":"%s/jwks"}`)
			s.page("/jwks", s.set)
		}, "/a", ErrUnavailable},
		{"redirect", func(s *secure) {
			s.redirect(oidc, "%s/moved")
			s.page("/moved", doc)
			s.redirect("/jwks", "%s/keys")
			s.page("/keys", s.set)
		}, "", nil},
		{"redirects_without_end", func(s *secure) { s.redirect(oidc, "%s"+oidc) }, "", httpc.ErrRedirect},
		{"redirect_to_plain_http", func(s *secure) { s.redirect(oidc, "http://op.example/x") }, "", httpc.ErrRedirect},
		{"redirect_of_the_keys_to_a_file", func(s *secure) {
			s.page(oidc, doc)
			s.redirect("/jwks", "file:///etc/passwd")
		}, "", httpc.ErrRedirect},
		{"keys_at_plain_http", func(s *secure) {
			s.page(oidc, `{"issuer":"%s","jwks_uri":"http://127.0.0.1:1/jwks"}`)
		}, "", ErrMetadata},
		{"document_too_large", func(s *secure) {
			s.page(oidc, `{"issuer":"%s","x":"`+strings.Repeat("x", httpc.DefaultMaxBody)+`"}`)
		}, "", httpc.ErrTooLarge},
		{"keys_too_large", func(s *secure) {
			s.page(oidc, doc)
			s.page("/jwks", `{"keys":[],"x":"`+strings.Repeat("x", httpc.DefaultMaxBody)+`"}`)
		}, "", httpc.ErrTooLarge},
		{"keys_are_a_page_for_people", func(s *secure) { s.page(oidc, doc); s.page("/jwks", "<html>") }, "", jose.ErrJSON},
		{"keys_not_there", func(s *secure) { s.page(oidc, doc) }, "", ErrUnavailable},
		{"keys_of_kinds_we_do_not_know_beside_ours", func(s *secure) {
			s.page(oidc, doc)
			s.page("/jwks", strings.Replace(s.set, `"keys":[`, `"keys":[{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"},7,`, 1))
		}, "", nil},
		{"nothing_anywhere", func(*secure) {}, "/a", ErrNoMetadata},
		{"document_cut_off", func(s *secure) { s.page(oidc, `{"issuer":"%s"`) }, "", ErrMetadata},
		{"two_documents", func(s *secure) { s.page(oidc, doc+doc) }, "", ErrMetadata},
		{"nested_deep", func(s *secure) { s.page(oidc, strings.Repeat(`{"a":`, 100)+"1"+strings.Repeat("}", 100)) }, "", ErrMetadata},
		{"connection_cut", func(s *secure) {
			s.mux.HandleFunc("GET "+oidc, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}, "", ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSecure(t)
			c.make(s)
			set, err := s.keys(t, c.path)
			switch {
			case c.err == nil && (err != nil || set.Len() != 1 || !set.HasID("k1")):
				t.Errorf("%v, %d keys", err, set.Len())
			case c.err != nil && (!errors.Is(err, c.err) || !errors.Is(err, ErrUnavailable)):
				t.Errorf("%v", err)
			}
		})
	}
}

func TestDiscoveryNeedsItsCertificate(t *testing.T) {
	s := newSecure(t)
	s.page(oidc, `{"issuer":"%s","jwks_uri":"%s/jwks"}`)
	s.page("/jwks", s.set)
	var err error
	if s.hc, err = httpc.New(httpc.Options{}); err != nil { // trusts the system's certificates
		t.Fatal(err)
	}
	if _, err := s.keys(t, ""); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
}

// TestDiscoveryTrickle is a server that sends its document a byte at a time: the time is bounded, not only each read.
func TestDiscoveryTrickle(t *testing.T) {
	s := newSecure(t)
	s.Server.Close()
	s.Server = httptest.NewServer(s.mux) // plain, on loopback: a handshake would be part of the time
	t.Cleanup(s.Close)
	var err error
	if s.hc, err = httpc.New(httpc.Options{Timeout: time.Second}); err != nil {
		t.Fatal(err)
	}
	s.mux.HandleFunc("GET "+oidc, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte("{"))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	if _, err := s.keys(t, ""); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
} // closing the server waits for the handler
