package forward

import (
	"strings"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/token/claims"
)

const (
	maxTarget = 8 << 10 // bytes of a path, and of its query
	maxDecode = 4       // how often somebody behind us may decode a path
)

// parsePath reads the raw path of a request and refuses one that the service behind may read in another way: not
// absolute, an encoded slash or backslash, a segment that is "..", now or after it was decoded once more, with or
// without path parameters, or that is no UTF-8.
func parsePath(raw string) (claims.Path, error) {
	if len(raw) > maxTarget {
		return claims.Path{}, denied("the path is too long")
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' || r == '?' }) {
		return claims.Path{}, denied("the path has characters that no path has")
	}
	p, err := claims.ParseRequestPath(raw)
	if err != nil {
		return claims.Path{}, denied("the path cannot be read in one way only")
	}
	for segment := range strings.SplitSeq(raw, "/") {
		if !steady(segment) {
			return claims.Path{}, denied("the path cannot be read in one way only")
		}
	}
	return p, nil
}

// steady reports whether a segment stays one harmless segment however often it is decoded.
func steady(segment string) bool {
	for range maxDecode {
		if !harmless(segment) {
			return false
		}
		next := decodeOnce(segment)
		if next == segment {
			return true
		}
		segment = next
	}
	return false
}

func harmless(segment string) bool {
	if !utf8.ValidString(segment) || strings.ContainsAny(segment, `/\`) {
		return false
	}
	if strings.ContainsFunc(segment, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return false
	}
	name, _, _ := strings.Cut(segment, ";") // what some servers take for parameters
	// Windows drops dots and spaces at the end of names.
	return name == "." || name == "" || strings.Trim(name, ". ") != ""
}

// decodeOnce replaces the percent triplets that are well formed, as a careless server does.
func decodeOnce(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := hex(s[i+1]), hex(s[i+2]); hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
