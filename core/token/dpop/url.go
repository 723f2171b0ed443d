package dpop

import (
	"net/url"
	"strings"
)

// sameURL reports whether a and b are one URL but for query and fragment (RFC 9449 section 4.3, check 9), after the
// normalisations that are safe for every URL: syntax (RFC 3986 section 6.2.2) and scheme (6.2.3). What is no whole URL
// of http or https, or has a user in it, is the same as nothing.
func sameURL(a, b string) bool {
	if a == b && plainURL(a) {
		return true
	}
	x, ok := normalURL(a)
	if !ok {
		return false
	}
	y, ok := normalURL(b)
	return ok && x == y
}

// plainURL spares two equal URLs the work, when nothing in them could make them be refused.
func plainURL(s string) bool {
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok {
		return false
	}
	host, _, _ := strings.Cut(rest, "/")
	if host == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !unreserved(c) && c != '/' && c != ':' {
			return false
		}
	}
	return !strings.Contains(host, ":")
}

func normalURL(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.User != nil || u.Hostname() == "" {
		return "", false
	}
	port := u.Port()
	switch {
	case u.Scheme == "https" && port == "443", u.Scheme == "http" && port == "80":
		port = ""
	case u.Scheme != "https" && u.Scheme != "http":
		return "", false
	}
	host := strings.ToLower(u.Hostname())
	return u.Scheme + "://[" + host + "]:" + port + withoutDots(normalEscapes(u.EscapedPath())), true
}

// normalEscapes decodes what needs no escape and writes the hexadecimal digits of the others in capitals.
func normalEscapes(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			b.WriteByte(path[i])
			continue
		}
		c := hex(path[i+1])<<4 | hex(path[i+2])
		if unreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	return b.String()
}

func hex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return c - 'A' + 10 // url.Parse has refused the others
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// withoutDots removes "." and ".." (RFC 3986 section 5.2.4). Unlike path.Clean it keeps empty segments and the slash at
// the end, which tell one resource from another.
func withoutDots(path string) string {
	if path == "" {
		return "/"
	}
	var out []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".":
		case "..":
			out = out[:max(len(out)-1, 0)]
		default:
			out = append(out, s)
			continue
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/")
}
