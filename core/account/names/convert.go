package names

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"unicode"
)

// maxText bounds what is turned into a name, in bytes. A longer claim gives none.
const maxText = 4096

// Shorten says what becomes of a text that is longer than a name may be.
type Shorten int

// The ways. Digest keeps two long texts apart. The others are what earlier provisioners did, for hosts that have their
// groups already: with them two long texts may end as one name.
const (
	Digest Shorten = iota // the first 15 characters, ".", 80 bits of SHA-256 in base32
	Middle                // "__" and the tail; with a "_" in it, the front of what follows the first "_" becomes ".."
	Front                 // pieces between "_", from the first on, lose their ends to ".."
)

// Convert makes a name of any text: transliterated to ASCII, lower case, every other character "_", no digit, no "-" at
// the beginning, shortened if need be. What it returns is in the alphabet but for one thing: it may be without a letter
// or digit ("_" for no text at all), which Check refuses. The error is ErrTooLong.
func Convert(s string, how Shorten) (string, error) {
	if len(s) > maxText {
		return "", ErrTooLong
	}
	name := ascii(s)
	switch {
	case name == "":
		return "_", nil
	case letter(name[0]) || name[0] == '_':
	case len(name) >= MaxLength || how == Front:
		name = "_" + name[1:]
	default:
		name = "_" + name
	}
	if len(name) <= MaxLength {
		return name, nil
	}
	switch how {
	case Middle:
		return cutMiddle(name)
	case Front:
		return cutFront(name)
	}
	return cutDigest(name), nil
}

func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		r = unicode.ToLower(r)
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_':
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r): // an accent that stands by itself
		default:
			b.WriteString(transliterate(r))
		}
	}
	return b.String()
}

// cutDigest marks its work by a dot, which no text that was short enough has: the two kinds never meet.
func cutDigest(name string) string {
	sum := sha256.Sum256([]byte(name))
	tail := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
	return name[:MaxLength-len(tail)-1] + "." + tail
}

func cutMiddle(name string) (string, error) {
	first, rest, ok := strings.Cut(name, "_")
	if !ok {
		return "__" + name[len(name)-MaxLength+2:], nil
	}
	second, rest, more := strings.Cut(rest, "_")
	if more {
		rest = "_" + rest
	}
	keep := len(second) - (len(name) - MaxLength) - len("..")
	if keep < 0 {
		return "", ErrTooLong
	}
	return first + "_.." + second[len(second)-keep:] + rest, nil
}

func cutFront(name string) (string, error) {
	over := len(name) - MaxLength
	pieces := strings.Split(name, "_")
	for i, p := range pieces {
		if over <= 0 {
			break
		}
		if len(p) <= 3 {
			continue
		}
		cut := min(over, len(p)-3)
		pieces[i] = p[:len(p)-cut-2] + ".."
		over -= cut
	}
	if over > 0 {
		return "", ErrTooLong
	}
	return strings.Join(pieces, "_"), nil
}
