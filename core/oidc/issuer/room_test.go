package issuer

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store/memstore"
)

func TestRoomIsBounded(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	i, err := New(t.Context(), Options{
		URL: "http://127.0.0.1:1", Engine: memstore.NewAt(clock), Now: clock, Alg: jose.ES256, CodeTTL: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	i.codes.most = 3
	fill := func() (n int) {
		for range 10 {
			_, err := i.saveCode(t.Context(), codeRow{Client: "web"})
			var full *httpd.Error
			if errors.As(err, &full) && full.Status == http.StatusServiceUnavailable {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	if n := fill(); n != 3 {
		t.Errorf("%d codes fitted, want 3", n)
	}
	if n := fill(); n != 0 {
		t.Errorf("%d more fitted", n)
	}
	now = now.Add(11 * time.Minute) // the codes are forgotten
	if n := fill(); n != 3 {
		t.Errorf("%d codes fitted after the first had gone, want 3", n)
	}
}

func TestRoomCountsWhatIsThere(t *testing.T) {
	eng := memstore.New()
	o := Options{URL: "http://127.0.0.1:1", Engine: eng, Alg: jose.ES256}
	first, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := first.saveCode(t.Context(), codeRow{Client: "web"}); err != nil {
			t.Fatal(err)
		}
	}
	second, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	second.codes.most = 3
	if _, err := second.saveCode(t.Context(), codeRow{Client: "web"}); err == nil {
		t.Error("a restart forgot the codes that are there")
	}
}
