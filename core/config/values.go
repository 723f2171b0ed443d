package config

import (
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// List returns the entries of a list.
func (r *Reader) List(a At) []At {
	if !r.Usable(a) {
		return nil
	}
	if a.node.Kind != yaml.SequenceNode {
		r.Fault(a, "has to be a list")
		return nil
	}
	list := make([]At, len(a.node.Content))
	for i := range list {
		list[i] = a.index(i)
	}
	return list
}

// Text returns a string that is not empty; ok is false when it is absent, or wrong and said.
func (r *Reader) Text(a At) (s string, ok bool) {
	if !r.Usable(a) {
		return "", false
	}
	switch {
	case a.Kind() != Text:
		r.Fault(a, "has to be text (quote it if it looks like a number or a truth value)")
	case a.node.Value == "":
		r.Fault(a, "is empty")
	case strings.ContainsFunc(a.node.Value, func(c rune) bool { return c < ' ' || c == 0x7f }):
		r.Fault(a, "has a control character")
	default:
		return a.node.Value, true
	}
	return "", false
}

// TextOr is Text with a fallback for a key that is absent or wrong.
func (r *Reader) TextOr(a At, fallback string) string {
	if s, ok := r.Text(a); ok {
		return s
	}
	return fallback
}

// Texts returns one text or a list of them, which is not empty.
func (r *Reader) Texts(a At) []string {
	if !r.Usable(a) {
		return nil
	}
	if a.node.Kind != yaml.SequenceNode {
		s, ok := r.Text(a)
		if !ok {
			return nil
		}
		return []string{s}
	}
	if len(a.node.Content) == 0 {
		r.Fault(a, "the list is empty")
	}
	var list []string
	for _, e := range r.List(a) {
		if s, ok := r.Text(e); ok {
			list = append(list, s)
		}
	}
	return list
}

// OneOf returns a text that has to be one of words, or the fallback.
func (r *Reader) OneOf(a At, fallback string, words ...string) string {
	s, ok := r.Text(a)
	switch {
	case !ok:
		return fallback
	case slices.Contains(words, s):
		return s
	}
	r.Fault(a, "has to be %s", orList(words))
	return fallback
}

func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Bool returns true or false, or the fallback. yes, on and 1 are no truth values.
func (r *Reader) Bool(a At, fallback bool) bool {
	if !r.Usable(a) {
		return fallback
	}
	if a.Kind() != Bool {
		r.Fault(a, "has to be true or false")
		return fallback
	}
	return strings.EqualFold(a.node.Value, "true")
}

// Int returns a whole number from low to high, or the fallback. It is written with digits alone.
func (r *Reader) Int(a At, fallback, low, high int) int {
	if !r.Usable(a) {
		return fallback
	}
	n, err := strconv.Atoi(a.node.Value)
	if a.Kind() == Int && err == nil && n >= low && n <= high {
		return n
	}
	if high == math.MaxInt {
		r.Fault(a, "has to be a whole number, %d or more", low)
	} else {
		r.Fault(a, "has to be a whole number from %d to %d", low, high)
	}
	return fallback
}

// Duration returns a time such as 90s, 5m or 2d from low to high, or the fallback. A number without unit is refused,
// but for 0.
func (r *Reader) Duration(a At, fallback, low, high time.Duration) time.Duration {
	if !r.Usable(a) {
		return fallback
	}
	d, err := parseDuration(a.Raw())
	switch {
	case err != nil:
		r.Fault(a, "has to be a time with its unit: 90s, 5m, 6h, 2d")
	case d < low || d > high:
		r.Fault(a, "has to be from %s to %s", showDuration(low), showDuration(high))
	default:
		return d
	}
	return fallback
}

// parseDuration is time.ParseDuration with days.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16) // 179 years, which a Duration can hold
		if err != nil {
			return 0, fmt.Errorf("days: %w", err)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(s)
}

func showDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if short, ok := strings.CutSuffix(s, zero); ok {
			s = short + zero[:1]
		}
	}
	return s
}

// Size returns a number of bytes from low to high, written as 64KiB, 16MiB, 1GiB or a plain number, or the fallback.
func (r *Reader) Size(a At, fallback, low, high int64) int64 {
	if !r.Usable(a) {
		return fallback
	}
	n, ok := parseSize(a.Raw())
	switch {
	case !ok:
		r.Fault(a, "has to be a size: 64KiB, 16MiB, 1GiB, or a number of bytes")
	case n < low || n > high:
		r.Fault(a, "has to be from %s to %s", showSize(low), showSize(high))
	default:
		return n
	}
	return fallback
}

func parseSize(s string) (int64, bool) {
	shift := 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if number, ok := strings.CutSuffix(s, unit); ok {
			s, shift = strings.TrimSpace(number), 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(s, 10, 32) // times a GiB it fits
	return int64(n) << shift, err == nil
}

func showSize(n int64) string {
	for i, unit := range []string{"GiB", "MiB", "KiB"} {
		if one := int64(1) << (30 - 10*i); n >= one && n%one == 0 {
			return fmt.Sprintf("%d%s", n/one, unit)
		}
	}
	return strconv.FormatInt(n, 10)
}

// URL returns an absolute URL with a host, of one of the schemes (https alone when none is given), without user name
// and fragment, as it was written. ok is false when it is absent, or wrong and said.
func (r *Reader) URL(a At, schemes ...string) (s string, ok bool) {
	if s, ok = r.Text(a); !ok {
		return "", false
	}
	if len(schemes) == 0 {
		schemes = []string{"https"}
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || !slices.Contains(schemes, u.Scheme) {
		r.Fault(a, "has to be a URL: %s://HOST/PATH", orList(schemes))
		return "", false
	}
	return s, true
}

// Mode returns the permission bits of a file as chmod takes them (0660, 660 or 0o660), or the fallback.
func (r *Reader) Mode(a At, fallback fs.FileMode) fs.FileMode {
	if !r.Usable(a) {
		return fallback
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(a.Raw(), "0o"), 8, 16)
	if err != nil || n == 0 || n > 0o777 {
		r.Fault(a, "has to be a mode in octal, such as 0660")
		return fallback
	}
	return fs.FileMode(n)
}
