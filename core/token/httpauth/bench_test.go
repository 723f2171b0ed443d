package httpauth

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkRequire is a request with a token that was seen before: what a handler pays for being protected.
func BenchmarkRequire(b *testing.B) {
	h := New(newGate(b), Options{Service: "api"}).Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := request{method: "GET", target: "/f", headers: auth("Bearer " + token(b, nil))}.make()
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
	if w.Code != http.StatusOK {
		b.Fatal(w.Code)
	}
}
