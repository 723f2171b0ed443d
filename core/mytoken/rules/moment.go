package rules

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

var errTime = errors.New(`not a time: want seconds since 1970, "+1d12h" or "2006-01-02 15:04"`)

// lastSecond is the end of the year 9999.
const lastSecond = 253402300799

// Reckon returns the moment as a number of seconds: "+1d12h", "+3600" (seconds) from now on, "2026-01-31 12:00" and
// "2026-01-31" in the zone of now, RFC 3339 in its own. The last moment there is lies in the year 9999.
func Reckon(m mytoken.Moment, now time.Time) (mytoken.Moment, error) {
	text := m.Text()
	if text == "" {
		return m, nil
	}
	t, err := reckon(text, now)
	if err != nil {
		return mytoken.Moment{}, err
	}
	if s := t.Unix(); s < 1 || s > lastSecond {
		return mytoken.Moment{}, errTime
	}
	return mytoken.At(t), nil
}

func reckon(text string, now time.Time) (time.Time, error) {
	if span, ok := strings.CutPrefix(text, "+"); ok {
		d, err := parseSpan(span)
		if err != nil {
			return time.Time{}, err
		}
		return now.Add(d), nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Unix(min(max(n, 0), lastSecond+1), 0), nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errTime
}

// maxSpan keeps sums of spans from overflowing, and a text from being longer than any span is.
const (
	maxSpan     = 250 * 365 * 24 * time.Hour
	maxSpanText = 64
)

// parseSpan reads "1d12h", "1.5h", "3600" (seconds).
func parseSpan(s string) (time.Duration, error) {
	if s == "" || len(s) > maxSpanText {
		return 0, errTime
	}
	var sum float64
	for s != "" {
		n := len(s) - len(strings.TrimLeft(s, "0123456789."))
		f, err := strconv.ParseFloat(s[:n], 64)
		if err != nil {
			return 0, errTime
		}
		u := len(s[n:]) - len(strings.TrimLeft(s[n:], "nsuµμmhdwy"))
		size, ok := unit(s[n : n+u])
		if !ok {
			return 0, errTime
		}
		sum += f * float64(size)
		s = s[n+u:]
	}
	if math.IsNaN(sum) || sum > float64(maxSpan) {
		return 0, errTime
	}
	return time.Duration(sum), nil
}

func unit(s string) (time.Duration, bool) {
	const day = 24 * time.Hour
	switch s {
	case "", "s":
		return time.Second, true
	case "ns":
		return time.Nanosecond, true
	case "us", "µs", "μs":
		return time.Microsecond, true
	case "ms":
		return time.Millisecond, true
	case "m":
		return time.Minute, true
	case "h":
		return time.Hour, true
	case "d":
		return day, true
	case "w":
		return 7 * day, true
	case "y":
		return 365 * day, true
	}
	return 0, false
}
