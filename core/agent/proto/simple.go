package proto

import "strconv"

// readSimple reads what programs ask for nearly always: a flat object of the few members below, each at most once,
// strings in plain ASCII without escapes, whole numbers as numbers. It is false for everything else, which is not wrong
// but left to readRequest; what both read is the same.
func readSimple(b []byte) (r Request, ok bool) {
	s := simple{b: b}
	if !s.take('{') || s.peek() == '}' {
		return Request{}, false
	}
	seen := 0
	for {
		name, ok := s.text()
		if !ok || !s.take(':') {
			return Request{}, false
		}
		bit, ok := s.member(&r, name)
		if !ok || seen&bit != 0 {
			return Request{}, false
		}
		seen |= bit
		switch {
		case s.take(','):
		case s.take('}'):
			return r, s.peek() == 0 && s.pos == len(b)
		default:
			return Request{}, false
		}
	}
}

// simple is a place in the text of a request.
type simple struct {
	b   []byte
	pos int
}

// peek skips white space and returns the byte after it, 0 at the end.
func (s *simple) peek() byte {
	for ; s.pos < len(s.b); s.pos++ {
		switch c := s.b[s.pos]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (s *simple) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// text reads a string.
func (s *simple) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	begin := s.pos
	for ; s.pos < len(s.b); s.pos++ {
		switch c := s.b[s.pos]; {
		case c == '"':
			s.pos++
			return s.b[begin : s.pos-1], true
		case c < ' ' || c > '~' || c == '\\':
			return nil, false
		}
	}
	return nil, false
}

// number reads a whole number as JSON writes it.
func (s *simple) number() (int64, bool) {
	s.peek()
	begin := s.pos
	for s.pos < len(s.b) && (s.b[s.pos] == '-' && s.pos == begin || s.b[s.pos] >= '0' && s.b[s.pos] <= '9') {
		s.pos++
	}
	n, err := strconv.ParseInt(string(s.b[begin:s.pos]), 10, 64)
	// "-0" and "007" are for the one who knows what JSON says of them.
	canonical := err == nil && s.pos-begin == len(strconv.FormatInt(n, 10))
	return n, canonical
}

// member reads the value of a member into r and returns a bit of its own.
func (s *simple) member(r *Request, name []byte) (bit int, ok bool) {
	if string(name) == "min_valid_period" {
		r.MinValid, ok = s.number()
		return 1, ok
	}
	value, ok := s.text()
	if !ok {
		return 0, false
	}
	switch string(name) {
	case "request":
		r.Type = typeName(value)
		return 1 << 1, true
	case "account":
		r.Account = string(value)
		return 1 << 2, true
	case "issuer":
		r.Issuer = string(value)
		return 1 << 3, true
	case "scope":
		r.Scope = string(value)
		return 1 << 4, true
	case "audience":
		r.Audience = string(value)
		return 1 << 5, true
	case "application_hint":
		r.Hint = string(value)
		return 1 << 6, true
	}
	return 0, false
}

// typeName is the string of a type, without a copy for the usual one.
func typeName(b []byte) string {
	if string(b) == TypeAccessToken {
		return TypeAccessToken
	}
	return string(b)
}
