package mail

import (
	"fmt"
	"strings"
)

// Lengths of RFC 5321 section 4.5.3.1; an address as a whole has 254 (RFC 3696, erratum 1690).
const (
	maxLocal   = 64
	maxAddress = 254
	maxLabel   = 63
)

// Address is a mail address that was checked by ParseAddress. The zero value is none.
type Address struct{ local, domain string }

// ParseAddress returns the address that s is, with its domain in small letters.
//
// It takes less than RFC 5322 allows: a dot-atom of ASCII before the "@", which does not begin with "-", and behind it
// a name of at least two labels that is no IP address. Quoted forms, comments, display names, address literals and
// Unicode are ErrAddress: nobody who has one is helped by a mail that some server on the way reads differently.
func ParseAddress(s string) (Address, error) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 || len(s) > maxAddress {
		return Address{}, fmt.Errorf("read a mail address: %w", ErrAddress)
	}
	a := Address{local: s[:at], domain: strings.ToLower(s[at+1:])}
	if !dotAtom(a.local) || !domainName(a.domain) {
		return Address{}, fmt.Errorf("read a mail address: %w", ErrAddress)
	}
	return a, nil
}

func (a Address) String() string {
	if a.domain == "" {
		return ""
	}
	return a.local + "@" + a.domain
}

// Domain is what stands behind the "@".
func (a Address) Domain() string { return a.domain }

// dotAtom is that of RFC 5322 section 3.2.3.
func dotAtom(s string) bool {
	if s == "" || len(s) > maxLocal || s[0] == '-' {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if part == "" {
			return false
		}
		for i := range len(part) {
			if !alphanumeric(part[i]) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", rune(part[i])) {
				return false
			}
		}
	}
	return true
}

func domainName(s string) bool {
	labels := strings.Split(s, ".")
	if len(labels) < 2 {
		return false
	}
	for _, l := range labels {
		if l == "" || len(l) > maxLabel || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for i := range len(l) {
			if !alphanumeric(l[i]) && l[i] != '-' {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != ""
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
