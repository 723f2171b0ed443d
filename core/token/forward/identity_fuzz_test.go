package forward

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// FuzzIdentityValue: what a claim becomes in a header is visible ASCII, and each value comes back as it was.
func FuzzIdentityValue(f *testing.F) {
	f.Add("alice", "Minun Ryhmäni, oy")
	f.Add(" a%2C,b ", "\r\nX-Token-Sub: root")
	f.Add("\x00\xff\u2028", "%")
	f.Fuzz(func(t *testing.T, one, two string) {
		text := encodeList([]string{one, two})
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || strings.TrimSpace(text) != text {
			t.Fatalf("%q", text)
		}
		var back []string
		for s := range strings.SplitSeq(text, ",") {
			v, err := url.PathUnescape(s)
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			back = append(back, v)
		}
		if !slices.Equal(back, []string{one, two}) {
			t.Fatalf("%q and %q come back as %q", one, two, back)
		}
	})
}

// FuzzCertificate: any header of the proxy is a certificate, or an error; the three ways to write one come to the same.
func FuzzCertificate(f *testing.F) {
	s := &service{Service: Service{CertificateHeader: "X-Client-Cert"}}
	read := func(v string) ([]byte, error) { return s.certificate(http.Header{"X-Client-Cert": {v}}) }
	f.Add(":AAAA:", []byte("der"))
	f.Add("-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----%0A", []byte{0})
	f.Add("-----BEGIN CERTIFICATE-----", []byte{0xff})
	f.Fuzz(func(t *testing.T, value string, der []byte) {
		if got, err := read(value); (err == nil) != (len(got) > 0) && value != "" {
			t.Fatalf("%q: %d bytes, %v", value, len(got), err)
		}
		if len(der) == 0 || len(der) > 4<<10 {
			return
		}
		plain := base64.StdEncoding.EncodeToString(der)
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		for _, v := range []string{plain, ":" + plain + ":", url.PathEscape(string(block))} {
			if got, err := read(v); err != nil || sha256.Sum256(got) != sha256.Sum256(der) {
				t.Fatalf("%q: %x, %v; want %x", v, got, err, der)
			}
		}
	})
}
