package mytoken

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Moment is a point in time of a restriction: seconds since 1970, or, in what is asked for, a text that the server
// reckons with: "+1d", "+3600", "2026-01-31 12:00" (the server's local time). The zero value is none.
type Moment struct {
	at   int64 // Unix seconds
	text string
}

// maxSecond is the last one of the year 9999.
const maxSecond = 253402300799

// At is the moment t, to the second.
func At(t time.Time) Moment { return Moment{at: t.Unix()} }

// TimeText is a moment that the server reckons out.
func TimeText(s string) Moment { return Moment{text: strings.TrimSpace(s)} }

// IsZero reports whether there is no moment.
func (m Moment) IsZero() bool { return m == Moment{} }

// Time returns the time, and false for a text.
func (m Moment) Time() (time.Time, bool) {
	if m.at == 0 {
		return time.Time{}, false
	}
	return time.Unix(m.at, 0), true
}

// Unix returns the second, 0 for none and for a text.
func (m Moment) Unix() int64 { return m.at }

// Text returns what is still to be reckoned out, "" for none and for a time.
func (m Moment) Text() string { return m.text }

// String is for people.
func (m Moment) String() string {
	switch {
	case m.text != "":
		return m.text
	case m.at == 0:
		return ""
	}
	return time.Unix(m.at, 0).UTC().Format("2006-01-02 15:04:05 MST")
}

// MarshalJSON writes a number, or the text.
func (m Moment) MarshalJSON() ([]byte, error) {
	if m.text != "" {
		return encode(m.text)
	}
	return strconv.AppendInt(nil, m.at, 10), nil
}

// UnmarshalJSON reads a number of seconds or a text. Nothing and 0 are none.
func (m *Moment) UnmarshalJSON(b []byte) error {
	*m = Moment{}
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*m = TimeText(s)
		return nil
	}
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || !(f == 0 || f >= 1 && f <= maxSecond) { // a part of the first second would come out as none
		return fmt.Errorf("%w: not a time", ErrRequest)
	}
	m.at = int64(f)
	return nil
}
