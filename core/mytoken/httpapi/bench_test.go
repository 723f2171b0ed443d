package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkIntrospect is what the wire and the desk cost, without connections and without a disk.
func BenchmarkIntrospect(b *testing.B) {
	s := start(b)
	body := `{"action":"introspect","mytoken":"` + s.token(nil) + `"}`
	h := s.api.Handler()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", pathInfo, strings.NewReader(body))
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}

// BenchmarkAccess is BenchmarkIntrospect for an access token of a provider that answers at once.
func BenchmarkAccess(b *testing.B) {
	s := start(b)
	body := `{"grant_type":"mytoken","mytoken":"` + s.token(nil) + `"}`
	h := s.api.Handler()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", pathAccess, strings.NewReader(body))
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
