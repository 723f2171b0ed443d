package mytoken

import (
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Rotation says when a mytoken is replaced by being used.
type Rotation struct {
	OnAT, OnOther bool
	Lifetime      time.Duration // of each, in whole seconds; 0: none
	AutoRevoke    bool          // the use of a replaced one ends the mytoken
	Include       []string      // names of templates, in what is asked for
	rest          jose.Object
}

// UnmarshalJSON reads an object, or a string of template names.
func (r *Rotation) UnmarshalJSON(b []byte) error {
	*r = Rotation{}
	if err := r.read(b); err != nil {
		return fmt.Errorf("%w: rotation: %w", ErrRequest, err)
	}
	return nil
}

func (r *Rotation) read(b []byte) error {
	w, err := wrapped(b)
	if err != nil {
		return err
	}
	if raw, _ := w.Raw(member); strings.HasPrefix(raw, `"`) {
		r.Include, err = namesIn(w, member)
		return err
	}
	o, _, err := w.Object(member)
	if err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		to   *bool
	}{{"on_AT", &r.OnAT}, {"on_other", &r.OnOther}, {"auto_revoke", &r.AutoRevoke}} {
		if *m.to, err = o.Bool(m.name); err != nil {
			return err
		}
	}
	n, err := count(o, "lifetime")
	if err != nil {
		return err
	}
	if n != nil {
		r.Lifetime = secondsOf(*n)
	}
	if r.Include, err = namesIn(o, "include"); err != nil {
		return err
	}
	r.rest = o.Without("on_AT", "on_other", "lifetime", "auto_revoke", "include")
	return nil
}

// secondsOf is a count of seconds from elsewhere as a duration that did not overflow.
func secondsOf(n int64) time.Duration {
	const most = int64(100 * 365 * 24 * time.Hour / time.Second)
	return time.Duration(min(max(n, 0), most)) * time.Second
}

// MarshalJSON leaves out what is not set, as the server does.
func (r Rotation) MarshalJSON() ([]byte, error) {
	var o object
	o.flag("on_AT", r.OnAT)
	o.flag("on_other", r.OnOther)
	if r.Lifetime > 0 {
		o.put("lifetime", int64(r.Lifetime/time.Second))
	}
	o.flag("auto_revoke", r.AutoRevoke)
	o.list("include", r.Include)
	o.rest(r.rest)
	return o.bytes()
}

// String is the rotation for a person, on one line.
func (r Rotation) String() string {
	var parts []string
	for _, m := range []struct {
		set  bool
		text string
	}{
		{r.OnAT, "at each access token"},
		{r.OnOther, "at each other use"},
		{r.Lifetime > 0, "at the latest after " + r.Lifetime.String()},
		{r.AutoRevoke, "a replaced one ends it"},
		{len(r.Include) > 0, "template " + strings.Join(r.Include, " ")},
	} {
		if m.set {
			parts = append(parts, m.text)
		}
	}
	return strings.Join(parts, ", ")
}
