package flow

import (
	"encoding/base64"
	"net/url"
	"strings"
	"unicode"
)

const (
	maxCode        = 64
	maxDescription = 300
	echoLength     = 12 // this much of a secret is taken for an echo of it
	minSecret      = 4  // what is shorter is no secret, and masking it would spoil ordinary words
)

// code keeps an error code if it looks like one (RFC 6749 5.2 allows more, nobody uses it).
func code(s string) string {
	if len(s) > maxCode {
		return "unreadable_error"
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("_-.:/", rune(c)) {
			return "unreadable_error"
		}
	}
	return s
}

// describe makes a provider's text fit for one line of a log or terminal: printable, short, without the secrets of the
// request. Real providers repeat the refresh token they refuse.
func describe(s string, secrets []string) string {
	s = mask(s, secrets)
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
	}), " ")
	if len(s) <= maxDescription {
		return s
	}
	cut := strings.ToValidUTF8(s[:maxDescription], "")
	return cut + "..."
}

// Mask takes secrets out of a text that a provider chose: what it repeats of one, also when it stops in the middle.
func Mask(s string, secrets []string) string { return mask(s, secrets) }

// mask replaces what s repeats of a secret, also when it stops in the middle of it.
func mask(s string, secrets []string) string {
	for _, sec := range secrets {
		if len(sec) >= minSecret {
			s = maskOne(s, sec)
		}
	}
	return s
}

func maskOne(s, sec string) string {
	head := sec[:min(len(sec), echoLength)]
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, head)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("[secret]")
		s = after[commonPrefix(after, sec[len(head):]):]
	}
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// secrets lists the client secret in the forms in which a provider gets it.
func (cc ClientConfig) secrets() []string {
	plain := cc.Secret.Expose()
	if plain == "" {
		return nil
	}
	sent := url.QueryEscape(plain)
	header := url.QueryEscape(cc.ID) + ":" + sent // RFC 6749 2.3.1
	return []string{base64.StdEncoding.EncodeToString([]byte(header)), plain, sent}
}

// secretsOf lists what of a form must not come back in an error.
func secretsOf(form url.Values) []string {
	var list []string
	for _, name := range []string{
		"refresh_token", "code", "code_verifier", "device_code", "client_secret", "password", "subject_token",
		"actor_token", "token", "client_assertion",
	} {
		for _, v := range form[name] {
			list = append(list, v, url.QueryEscape(v))
		}
	}
	return list
}
