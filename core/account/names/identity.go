package names

import "strings"

// MaxSub and MaxIss bound the parts of an identity, in bytes: OpenID Connect Core (section 2) says 255 for sub.
const (
	MaxSub = 255
	MaxIss = 1024
)

// Encode writes an identity as passwd's GECOS field, an LDAP attribute or an account system has it: sub and iss, each
// percent-encoded with "+" for a blank, and "@" between. Two identities never give one text, Decode gives them back,
// and the text has nothing in it but letters, digits, one "@" and "_.-~%+": no colon, comma or "&" that means
// something in GECOS, nothing that an LDAP filter needs escaped. The error is ErrIdentity.
func Encode(sub, iss string) (string, error) {
	if sub == "" || iss == "" || len(sub) > MaxSub || len(iss) > MaxIss {
		return "", ErrIdentity
	}
	return quote(sub) + "@" + quote(iss), nil
}

// Decode reads what Encode writes and nothing else: one spelling for one identity, so that texts can be compared. The
// error is ErrIdentity.
func Decode(text string) (sub, iss string, err error) {
	left, right, ok := strings.Cut(text, "@")
	if !ok || len(left) > 3*MaxSub || len(right) > 3*MaxIss {
		return "", "", ErrIdentity
	}
	sub, iss = unquote(left), unquote(right)
	if again, err := Encode(sub, iss); err != nil || again != text {
		return "", "", ErrIdentity
	}
	return sub, iss, nil
}

func quote(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ':
			b.WriteByte('+')
		case letter(c) || digit(c) || 'A' <= c && c <= 'Z' || strings.IndexByte("_.-~", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

// unquote undoes quote. What quote never writes comes out as something that encodes to another text.
func unquote(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s):
			b = append(b, nibble(s[i+1])<<4|nibble(s[i+2]))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

func nibble(c byte) byte {
	if digit(c) {
		return c - '0'
	}
	return (c - 'A' + 10) & 15
}
