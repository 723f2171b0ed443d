package dpop_test

import (
	"errors"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/dpop"
)

// RFC 9449 section 5: a proof at a token endpoint is for no token, and what is issued is bound to the key in it.
func TestProve(t *testing.T) {
	h, other := newHand(t), newHand(t)
	c := checker(t)
	free := func(h *hand, edits ...edit) string {
		return h.sign(h.header(), payload(append([]edit{{"ath", ""}}, edits...)...))
	}
	good := free(h)
	key, err := c.Prove([]string{good}, atMethod, atURL)
	if err != nil || key != h.thumbprint() {
		t.Fatalf("%q, %v", key, err)
	}
	for name, test := range map[string]struct {
		headers []string
		want    error
	}{
		"none":                    {nil, dpop.ErrNoProof},
		"two":                     {[]string{free(h), free(h)}, dpop.ErrProof},
		"used_before":             {[]string{good}, dpop.ErrReplay},
		"for_a_token":             {[]string{h.sign(h.header(), payload())}, dpop.ErrRequest},
		"for_another_method":      {[]string{free(h, edit{"htm", `"POST"`})}, dpop.ErrRequest},
		"for_another_url":         {[]string{free(h, edit{"htu", `"https://rs.example.org/other"`})}, dpop.ErrRequest},
		"too_old":                 {[]string{free(h, edit{"iat", "1799999900"})}, dpop.ErrAge},
		"signed_by_another":       {[]string{other.sign(h.header(), payload(edit{"ath", ""}))}, dpop.ErrProof},
		"not_signed":              {[]string{h.sign(h.header(edit{"alg", `"none"`}), payload(edit{"ath", ""}))}, dpop.ErrProof},
		"of_no_key":               {[]string{h.sign(h.header(edit{"jwk", ""}), payload(edit{"ath", ""}))}, dpop.ErrProof},
		"an_ath_that_is_no_text":  {[]string{h.sign(h.header(), payload(edit{"ath", "1"}))}, dpop.ErrProof},
		"without_an_id":           {[]string{free(h, edit{"jti", ""})}, dpop.ErrProof},
		"of_another_type_of_text": {[]string{h.sign(h.header(edit{"typ", `"JWT"`}), payload(edit{"ath", ""}))}, dpop.ErrProof},
	} {
		t.Run(name, func(t *testing.T) {
			if key, err := c.Prove(test.headers, atMethod, atURL); !errors.Is(err, test.want) {
				t.Errorf("%q, %v", key, err)
			}
		})
	}
	t.Run("is_good_for_no_token", func(t *testing.T) {
		if err := c.Check([]string{free(h)}, h.request()); !errors.Is(err, dpop.ErrProof) {
			t.Errorf("%v", err)
		}
	})
	t.Run("with_a_nonce", func(t *testing.T) {
		c := checker(t, func(o *dpop.Options) { o.Nonces = true })
		var next *dpop.NonceError
		if _, err := c.Prove([]string{free(h)}, atMethod, atURL); !errors.As(err, &next) {
			t.Fatalf("%v", err)
		}
		if _, err := c.Prove([]string{free(h, edit{"nonce", `"` + next.Next + `"`})}, atMethod, atURL); err != nil {
			t.Error(err)
		}
	})
}
