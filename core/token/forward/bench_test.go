package forward

import (
	"net/http"
	"testing"
)

// nobody is a ResponseWriter that costs nothing.
type nobody struct{ header http.Header }

func (n nobody) Header() http.Header         { return n.header }
func (n nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n nobody) WriteHeader(int)             {}

// BenchmarkQuestion is one question of nginx about a token that is known, without the HTTP around it.
func BenchmarkQuestion(b *testing.B) {
	w := newWorld(b, storage(Nginx))
	r := ask{proxy: Nginx, target: "/data/vo/file.root?x=1", header: auth(bearer(b, "storage.read:/data"))}.request()
	out := nobody{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(out.header)
		w.ServeHTTP(out, r)
		if len(out.header["Www-Authenticate"]) > 0 {
			b.Fatal("refused")
		}
		w.events = w.events[:0]
	}
}
