package claims

import (
	"net/url"
	"slices"
	"strings"
)

// Path is the normalised path of a scope or of a request. The zero value is "/".
type Path struct {
	segments []string
	dir      bool // it ended in a slash
}

// maxDecode is how often a segment of a scope is percent-decoded: enough to see through encoded traversal, a bound on
// what one segment can cost.
const maxDecode = 4

// ParsePath reads the path of a scope. Empty and "." segments are dropped; a segment that is ".." at any stage of
// decoding, or holds a slash, a backslash or a control character afterwards, is refused: ".." in a scope is never
// resolved.
func ParsePath(s string) (Path, error) {
	if !strings.HasPrefix(s, "/") {
		return Path{}, ErrScopePath
	}
	p := Path{dir: strings.HasSuffix(s, "/"), segments: make([]string, 0, strings.Count(s, "/"))}
	for raw := range strings.SplitSeq(s, "/") {
		segment, ok := decodeFully(raw)
		if !ok {
			return Path{}, ErrScopePath
		}
		if segment != "" && segment != "." {
			p.segments = append(p.segments, segment)
		}
	}
	return p.clean(), nil
}

// validPath reports whether ParsePath takes s. Most paths can be seen to be good without taking them apart: they are
// plain characters, and no segment begins with two dots.
func validPath(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c >= 0x7f || c == '%' || c == '\\' {
			_, err := ParsePath(s)
			return err == nil
		}
	}
	if strings.HasPrefix(s, "/") && !strings.Contains(s, "/..") {
		return true
	}
	_, err := ParsePath(s)
	return err == nil
}

// decodeFully percent-decodes until nothing is left to decode.
func decodeFully(s string) (string, bool) {
	for range maxDecode {
		if !safeSegment(s) || s == ".." {
			return "", false
		}
		if !strings.Contains(s, "%") {
			return s, true
		}
		next, err := url.PathUnescape(s)
		if err != nil {
			return "", false
		}
		s = next
	}
	return s, safeSegment(s) && s != ".." && !strings.Contains(s, "%")
}

// ParseRequestPath reads the path of a request: absolute, percent-encoded once. "." and ".." are resolved against the
// root, slashes collapse; an encoded slash, a backslash and control characters are refused.
func ParseRequestPath(s string) (Path, error) {
	if !strings.HasPrefix(s, "/") {
		return Path{}, ErrRequestPath
	}
	p := Path{segments: make([]string, 0, strings.Count(s, "/"))}
	for raw := range strings.SplitSeq(s, "/") {
		segment, err := url.PathUnescape(raw)
		if err != nil || !safeSegment(segment) {
			return Path{}, ErrRequestPath
		}
		p.dir = segment == "" || segment == "." || segment == ".."
		switch segment {
		case "", ".":
		case "..":
			p.segments = p.segments[:max(len(p.segments)-1, 0)]
		default:
			p.segments = append(p.segments, segment)
		}
	}
	return p.clean(), nil
}

// safeSegment refuses what would change the meaning of a path, or of a log line, somewhere behind us.
func safeSegment(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r == '/' || r == '\\' || r < 0x20 || r == 0x7f })
}

// clean makes the root always a directory.
func (p Path) clean() Path {
	p.dir = p.dir || len(p.segments) == 0
	return p
}

// String is the path in the form it has in a scope, percent-encoded where needed. Parsing it gives p again.
func (p Path) String() string {
	var b strings.Builder
	for _, s := range p.segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	if p.dir || len(p.segments) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

// Below returns the path that p has inside the directory base, and whether it is base or lies below it. Whether either
// ended in a slash does not matter for that.
func (p Path) Below(base Path) (Path, bool) {
	n := len(base.segments)
	if n > len(p.segments) || !slices.Equal(base.segments, p.segments[:n]) {
		return Path{}, false
	}
	return Path{segments: p.segments[n:], dir: p.dir}.clean(), true
}

// covers reports whether o is p or lies below it, segment by segment. When p names a directory (a slash at its end), a
// file of that name is not covered unless sameName is set.
func (p Path) covers(o Path, sameName bool) bool {
	n := len(p.segments)
	if n > len(o.segments) || !slices.Equal(p.segments, o.segments[:n]) {
		return false
	}
	return n < len(o.segments) || n == 0 || sameName || !p.dir || o.dir
}
