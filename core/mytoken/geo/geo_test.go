package geo_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/geo"
	"github.com/oidcbox/oidcbox/core/mytoken/geo/geotest"
)

func encoded(t testing.TB, country string) []byte {
	t.Helper()
	b, err := geotest.Encode(time.Unix(1_700_000_000, 0),
		geotest.Network{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Country: country},
		geotest.Network{Prefix: netip.MustParsePrefix("203.0.113.7/32"), Country: "DE"},
		geotest.Network{Prefix: netip.MustParsePrefix("2001:db8::/32"), Country: "ch"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// replace puts a file in place as a careful downloader does.
func replace(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestCountry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.mmdb")
	replace(t, path, encoded(t, "BE"))
	db := geo.New(path, geo.Options{})
	for address, want := range map[string]string{
		"198.51.100.0": "BE", "198.51.100.255": "BE", "::ffff:198.51.100.9": "BE", "198.51.101.0": "", "203.0.113.7": "DE",
		"203.0.113.6": "", "2001:db8::1": "CH", "2001:db9::1": "", "fe80::1%eth0": "", "127.0.0.1": "",
	} {
		if got := db.Country(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	if got := db.Country(netip.Addr{}); got != "" {
		t.Errorf("no address: %q", got)
	}
}

func TestReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.mmdb")
	now := time.Unix(1_800_000_000, 0)
	var said bytes.Buffer
	db := geo.New(path, geo.Options{
		Now: func() time.Time { return now }, Every: time.Minute, Log: slog.New(slog.NewTextHandler(&said, nil)),
	})
	here := netip.MustParseAddr("198.51.100.1")
	want := func(country string) {
		t.Helper()
		if got := db.Country(here); got != country {
			t.Fatalf("%q, want %q", got, country)
		}
	}
	want("") // there is no file yet
	replace(t, path, encoded(t, "BE"))
	want("")
	now = now.Add(time.Minute)
	want("BE")
	replace(t, path, encoded(t, "FR")[:300])
	now = now.Add(time.Minute)
	want("BE")
	now = now.Add(time.Minute)
	want("BE")
	if n := strings.Count(said.String(), "old=true"); n != 1 {
		t.Errorf("the broken file is said %d times:\n%s", n, said.String())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	want("BE")
	replace(t, path, encoded(t, "NL"))
	now = now.Add(time.Minute)
	want("NL")
	now = now.Add(-time.Hour) // a clock that was put back is no reason to stay with the old file
	replace(t, path, append(encoded(t, "LU"), 0))
	want("LU")
}

func TestInspect(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.mmdb")
	replace(t, good, encoded(t, "BE"))
	info, err := geo.Inspect(good)
	if err != nil || info.Type != geotest.Type || info.Built.Unix() != 1_700_000_000 || info.Size == 0 {
		t.Fatalf("%+v %v", info, err)
	}
	bad := filepath.Join(dir, "bad.mmdb")
	replace(t, bad, []byte("IP,COUNTRY\n"))
	if _, err := geo.Inspect(bad); !errors.Is(err, geo.ErrFormat) {
		t.Errorf("no database: %v", err)
	}
	if _, err := geo.Inspect(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := geo.Inspect(dir); err == nil {
		t.Error("a directory was taken")
	}
}

// TestTogether: many ask while the file is replaced again and again; each answer is that of one file or the other.
func TestTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.mmdb")
	replace(t, path, encoded(t, "BE"))
	db := geo.New(path, geo.Options{Every: time.Nanosecond})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if c := db.Country(netip.MustParseAddr("198.51.100.1")); c != "BE" && c != "FR" {
					t.Errorf("%q", c)
					return
				}
			}
		})
	}
	for i := range 50 {
		replace(t, path, encoded(t, []string{"FR", "BE"}[i%2]))
	}
	wg.Wait()
}

func TestEncodeRefuses(t *testing.T) {
	for name, list := range map[string][]geotest.Network{
		"inside":     {{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Country: "BE"}, {Prefix: netip.MustParsePrefix("10.1.0.0/16"), Country: "DE"}},
		"around":     {{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Country: "BE"}, {Prefix: netip.MustParsePrefix("10.0.0.0/8"), Country: "DE"}},
		"no_country": {{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Country: ""}},
		"everything": {{Prefix: netip.MustParsePrefix("::/0"), Country: "BE"}},
	} {
		if _, err := geotest.Encode(time.Now(), list...); !errors.Is(err, geotest.ErrNetwork) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzInspect: whatever stands in the file, it is an error or an answer.
func FuzzInspect(f *testing.F) {
	f.Add(encoded(f, "BE"))
	f.Add([]byte("\xab\xcd\xefMaxMind.com"))
	path := filepath.Join(f.TempDir(), "c.mmdb")
	f.Fuzz(func(t *testing.T, b []byte) {
		replace(t, path, b)
		c := geo.New(path, geo.Options{}).Country(netip.MustParseAddr("198.51.100.1"))
		if len(c) != 0 && len(c) != 2 {
			t.Fatalf("%q", c)
		}
	})
}
