package forward

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

var errCertificate = errors.New("header with the client certificate of the proxy cannot be read")

// maxCertificate is how long the header with a certificate may be.
const maxCertificate = 16 << 10

// certificate returns the DER of the client's TLS certificate as the proxy hands it over; nil where none is
// configured or the client has none. It may be written as RFC 9440 has it (":BASE64:"), as PEM in percent-encoding
// (nginx, $ssl_client_escaped_cert), as bare base64 (Traefik, Caddy), or as Cert of Envoy's
// X-Forwarded-Client-Cert. It is not judged: the proxy has seen the proof of its key.
func (s *service) certificate(h http.Header) ([]byte, error) {
	if s.CertificateHeader == "" {
		return nil, nil
	}
	values := h[http.CanonicalHeaderKey(s.CertificateHeader)]
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return nil, nil
	}
	if len(values) > 1 || len(values[0]) > maxCertificate {
		return nil, failed(errCertificate)
	}
	value := values[0]
	if _, rest, ok := strings.Cut(value, `Cert="`); ok {
		inner, more, closed := strings.Cut(rest, `"`)
		if !closed || strings.Contains(more, `Cert="`) {
			return nil, failed(errCertificate) // of two proxies, or of a client's making
		}
		value = inner
	}
	if inner, ok := strings.CutPrefix(value, ":"); ok {
		value = strings.TrimSuffix(inner, ":")
	}
	if strings.Contains(value, "%") || strings.HasPrefix(value, "-----BEGIN ") {
		return fromPEM(value)
	}
	der, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(der) == 0 {
		return nil, failed(errCertificate)
	}
	return der, nil
}

func fromPEM(value string) ([]byte, error) {
	text, err := url.PathUnescape(value) // not a query: "+" is a character of base64
	if err != nil {
		return nil, failed(errCertificate)
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(der) == 0 {
			return nil, failed(errCertificate)
		}
		return der, nil
	}
	if block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return nil, failed(errCertificate)
	}
	return block.Bytes, nil
}
