package provider

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzCacheControl: any header gives a time that makes sense, and none where caching is forbidden.
func FuzzCacheControl(f *testing.F) {
	f.Add("max-age=3600", "public")
	f.Add(`no-cache, MAX-AGE="60"`, "max-age=99999999999999999999")
	f.Add("max-age=-1,,=", "no-store")
	f.Fuzz(func(t *testing.T, one, two string) {
		age := maxAge(http.Header{"Cache-Control": {one, two}})
		if age < 0 || age > 1<<31*time.Second {
			t.Fatalf("%q, %q: %s", one, two, age)
		}
		if age != 0 && !strings.Contains(strings.ToLower(one+","+two), "max-age") {
			t.Fatalf("%q, %q: %s from nothing", one, two, age)
		}
		if maxAge(http.Header{"Cache-Control": {one, two, "no-store"}}) != 0 {
			t.Fatalf("%q, %q and no-store", one, two)
		}
	})
}
