package forward

import (
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/policy"
)

// readings are the other paths that a service behind may take raw for: without path parameters (RFC 3986 section 3.3),
// which Tomcat and what is built on it drop before it looks where a path leads, and decoded more often than once. Most
// paths have none.
func readings(raw string) []string {
	if !strings.ContainsAny(raw, ";%") {
		return nil
	}
	var list []string
	for range maxDecode {
		if plain := withoutParameters(raw); plain != raw {
			list = append(list, plain)
		}
		next := decodeOnce(raw)
		if next == raw || decodeOnce(next) == next { // decoded once is how we read it
			break
		}
		raw = next
		list = append(list, raw)
	}
	return list
}

// withoutParameters cuts each segment at its first semicolon, encoded or not.
func withoutParameters(raw string) string {
	segments := strings.Split(raw, "/")
	for i, s := range segments {
		name, _, _ := strings.Cut(s, ";")
		for _, encoded := range []string{"%3b", "%3B"} {
			name, _, _ = strings.Cut(name, encoded)
		}
		segments[i] = name
	}
	return strings.Join(segments, "/")
}

// everyReading adds to list the same questions about the other readings of their paths, in front: the last is the one
// that the audit has.
func everyReading(list []policy.Request) []policy.Request {
	var more []policy.Request
	for _, r := range list {
		for _, path := range readings(r.Path) {
			r.Path = path
			more = append(more, r)
		}
	}
	return slices.Concat(more, list)
}

// sureOf reports whether a path is of service s however it is read.
func (t table) sureOf(s *service, host, raw string) bool {
	for _, path := range readings(raw) {
		if parsed, err := parsePath(path); err != nil || t.find(s.Proxy, host, parsed) != s {
			return false
		}
	}
	return true
}
