package service

import "time"

// A person who is asked the same again and again says yes in the end. So what comes by a socket that others can reach
// is not asked any more for restTime when the answer was no maxRefusals times in a row.
const (
	maxRefusals = 5
	restTime    = 5 * time.Minute
)

// refusals are those in a row, and when the last one was.
type refusals struct {
	count int
	last  time.Time
}

// guest names what is counted together: requests for one login by one socket that others can reach. It is "" for the
// owner's own programs, of which nothing is counted.
func (w way) guest(login string) string {
	if w.limit == nil {
		return ""
	}
	return w.limit.Via + "\x00" + login
}

// weary reports whether the person is to be left alone.
func (d *desk) weary(guest string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.refused[guest]
	if ok && remaining(r.last.Add(restTime), now) <= 0 {
		delete(d.refused, guest)
		return false
	}
	return r.count >= maxRefusals
}

// said counts an answer. No answer in time is a no.
func (d *desk) said(guest string, yes bool, now time.Time) {
	if guest == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if yes {
		delete(d.refused, guest)
		return
	}
	d.refused[guest] = refusals{count: d.refused[guest].count + 1, last: now}
}
