package sshapi

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/secret"
)

// FuzzCommand: a command line is refused as wrong usage, or makes a request that has the mytoken of the key and stays
// below the API.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"AT", "MT application/json {}", `tag-create application/json {"tag":"../../x","mytoken":"y"}`, "AT  ",
		"AT application/json;base64 e30=", `notification-delete application/json {"management_code":"a/b?c#d"}`,
		`calendar-remove-mytoken application/json {"calendar_id":"x"}`, `revoke application/json {"token":"x","mom_id":"y"}`,
		"\x00", "AT application/json '{}'", `calendar-delete application/json {"calendar_id":".."}`,
	} {
		f.Add(s)
	}
	mt := secret.FromString(strings.Repeat("m", 64))
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parse(line, 64<<10)
		if err != nil {
			if !errors.Is(err, errUsage) {
				t.Fatal(err)
			}
			return
		}
		r, err := c.request(context.Background(), mt)
		if err != nil {
			if !errors.Is(err, errUsage) {
				t.Fatal(err)
			}
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/api/v0/") || r.URL.RawQuery != "" || r.URL.Fragment != "" ||
			strings.Contains(r.URL.EscapedPath(), "/../") || r.Header.Get("Authorization") != "Bearer "+mt.Expose() {
			t.Fatalf("%q makes %s %s", line, r.Method, r.URL)
		}
		if r.Method == "DELETE" && c.action == "calendar-remove-mytoken" && r.ContentLength == 0 {
			t.Fatalf("%q deletes the calendar", line)
		}
	})
}

// FuzzProxy: a header is refused, or gives an address without a zone; nothing behind it is read.
func FuzzProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 198.51.100.7 192.0.2.1 12345 22\r\nSSH-2.0"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(signature + "\x21\x11\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x01\x30\x39\x00\x16SSH"))
	f.Add([]byte(signature + "\x20\x00\x00\x00"))
	f.Add([]byte(signature + "\x21\x21\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		a, err := parseProxy(r)
		if err != nil {
			return
		}
		if a.Zone() != "" || a.Is4In6() {
			t.Fatalf("%q gives %v", b, a)
		}
		read := b[:len(b)-r.Len()]
		if !bytes.HasPrefix(read, []byte(signature)) && !bytes.HasSuffix(read, []byte("\r\n")) {
			t.Fatalf("%q: read too far", b)
		}
		if len(read) > len(signature)+4+maxBlock {
			t.Fatalf("%d bytes were read", len(read))
		}
	})
}
