package custody

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// TestTokenExpires: what a refresh token says of its end, however it is signed, and nothing made up.
func TestTokenExpires(t *testing.T) {
	enc := base64.RawURLEncoding.EncodeToString
	jwt := func(payload string) string { return enc([]byte(`{"alg":"none"}`)) + "." + enc([]byte(payload)) + "." }
	for name, tt := range map[string]struct {
		token string
		want  int64
	}{
		"unsigned":     {jwt(`{"exp":1900000000,"jti":"x"}`), 1900000000},
		"no_end":       {jwt(`{"jti":"x"}`), 0},
		"end_is_text":  {jwt(`{"exp":"1900000000"}`), 0},
		"no_json":      {jwt(`exp`), 0},
		"opaque":       {"8xLOxBtZp8", 0},
		"no_base64":    {"a.%%.c", 0},
		"end_repeated": {jwt(`{"exp":1,"exp":2}`), 0},
	} {
		k := New(memstore.New(), Options{})
		if err := k.Put(t.Context(), "a", secret.FromString(tt.token)); err != nil {
			t.Fatal(err)
		}
		st, err := k.State(t.Context(), "a")
		got := int64(0)
		if !st.TokenExpires.IsZero() {
			got = st.TokenExpires.Unix()
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %d (%v), want %d", name, got, err, tt.want)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if err := k.Close(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
}
