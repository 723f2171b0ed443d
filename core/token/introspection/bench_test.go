package introspection

import (
	"net/url"
	"testing"
)

// BenchmarkIntrospect is a question about a token that was asked about before, without the way there and back.
func BenchmarkIntrospect(b *testing.B) {
	h := newEndpoint(b, newGate(b), Options{Clients: testClients()})
	q := question{basic: wiki, body: url.Values{"token": {token(b, nil)}}.Encode()}
	b.ReportAllocs()
	for b.Loop() {
		if w := q.ask(h); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
