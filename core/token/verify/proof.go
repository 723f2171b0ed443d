package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/dpop"
)

// Scheme is how a token was presented: the first word of Authorization, in this spelling.
type Scheme string

// The schemes. The zero value is Bearer.
const (
	Bearer Scheme = "Bearer" // RFC 6750
	DPoP   Scheme = "DPoP"   // RFC 9449 section 7.1
)

// Proof is what a request has beside its token to prove that its sender is the one the token was given to. The zero
// value proves nothing and does for a plain bearer token.
type Proof struct {
	Scheme Scheme
	DPoP   []string // the values of all DPoP headers
	// Method and URL are those of the request as the client sent it; a DPoP proof is for them. Query and fragment do not
	// matter.
	Method, URL string
	// Certificate is the client's certificate of the TLS connection in DER, nil without one. Whoever ended that connection
	// has seen the client use its key; only from there may it be taken.
	Certificate []byte
}

// Possession decides whether p proves what the claims of a token ask for: all it is bound to, and no scheme that says
// more than there is; digest is the SHA-256 of that token. VerifyFor does this by itself; it is here for tokens whose
// claims come from elsewhere (introspection). A DPoP proof is looked at last, because it is good for one time.
func (v *Verifier) Possession(
	digest [sha256.Size]byte, token *claims.Token, p Proof,
) (claims.Confirmation, error) {
	c, err := token.Confirmation()
	if err != nil {
		return claims.Confirmation{}, err
	}
	switch p.Scheme {
	case "", Bearer:
		if c.KeyThumbprint != "" {
			return claims.Confirmation{}, claims.ErrSenderConstrained
		}
	case DPoP:
		if c.KeyThumbprint == "" {
			return claims.Confirmation{}, ErrUnbound
		}
	default:
		return claims.Confirmation{}, ErrScheme
	}
	if err := checkCertificate(c.CertificateHash, p.Certificate); err != nil {
		return claims.Confirmation{}, err
	}
	if c.KeyThumbprint != "" {
		request := dpop.Request{Method: p.Method, URL: p.URL, Token: digest, Key: c.KeyThumbprint}
		if err := v.c.DPoP.Check(p.DPoP, request); err != nil {
			return claims.Confirmation{}, err
		}
	}
	return c, nil
}

// checkCertificate compares a certificate with the hash in the token (RFC 8705 section 3).
func checkCertificate(hash string, der []byte) error {
	if hash == "" {
		return nil
	}
	if len(der) == 0 {
		return claims.ErrSenderConstrained
	}
	sum := sha256.Sum256(der)
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(hash)) != 1 {
		return ErrCertificate
	}
	return nil
}
