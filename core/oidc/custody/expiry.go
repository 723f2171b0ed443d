package custody

import (
	"bytes"
	"encoding/base64"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// expiryOf is the end that a refresh token says of itself, zero when it is opaque or says nothing. Many providers issue
// JWTs, also unsigned ones. It is for telling a person only: the provider decides, and nothing here depends on it.
func expiryOf(rt secret.Text) time.Time {
	var end time.Time
	_ = rt.Use(func(b []byte) error {
		parts := bytes.Split(b, []byte("."))
		if len(parts) != 3 {
			return nil
		}
		payload := make([]byte, base64.RawURLEncoding.DecodedLen(len(parts[1])))
		n, err := base64.RawURLEncoding.Decode(payload, parts[1])
		if err != nil {
			return nil
		}
		o, err := jose.StrictObject(payload[:n], jose.PayloadDepth, jose.PayloadMembers)
		if err != nil {
			return nil
		}
		end, _ = o.Time("exp")
		return nil
	})
	return end
}
