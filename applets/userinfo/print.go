package userinfo

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// complete adds the issuer to what is said about the person, as the original does: a subject means nothing without it.
func (f *infos) complete(issuer string) {
	if _, there := f.user["iss"]; !there {
		f.user["iss"] = issuer
	}
}

// object of the token as the original shows it.
func (p *parts) object() (object, error) {
	if p == nil {
		return nil, nil
	}
	header, err := tree(p.header)
	if err != nil {
		return nil, err
	}
	body, err := tree(p.body)
	if err != nil {
		return nil, err
	}
	o := object{"header": header, "body": body, "signature": p.signature, "verification": nil}
	if p.verified != "" {
		o["verification"] = object{"algorithm": string(p.verified)}
	}
	return o, nil
}

func (c *Cmd) print(env *cli.Env, f infos) error {
	token, err := f.token.object()
	if err != nil {
		return err
	}
	if !c.Machine {
		if err := c.sections(env, f, token); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		c.validity(env, f)
		return nil
	}
	var out bytes.Buffer
	writeJSON(&out, object{
		"access_token_info": orNull(token), "introspection_info": orNull(f.introspection), "user_info": orNull(f.user),
	}, ":")
	if _, err := out.WriteTo(env.Stdout); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func orNull(o object) any {
	if o == nil {
		return nil
	}
	return o
}

// sections writes what was asked for, each with an empty line behind it, which stands there also when there is nothing.
// Each is out before the title of the next: titles go to standard error, and a terminal shows both.
func (c *Cmd) sections(env *cli.Env, f infos, token object) error {
	all := c.All || !c.AccessToken && !c.Userinfo && !c.Introspection
	var failed error
	section := func(wanted bool, title string, o object, missing func()) {
		var out bytes.Buffer
		switch {
		case !wanted:
			return
		case o != nil:
			c.info(env, "%s", title)
			writeJSON(&out, o, ": ")
		default:
			missing()
		}
		out.WriteByte('\n')
		if _, err := out.WriteTo(env.Stdout); err != nil && failed == nil {
			failed = err
		}
	}
	section(all || c.AccessToken, "Information stored inside the access token:", token, func() {
		env.Note("Your access token is not a JWT")
	})
	section(all || c.Userinfo, "Information retrieved from userinfo endpoint:", f.user, func() {})
	section(all || c.Introspection, "Information retrieved from introspection endpoint:", f.introspection, func() {
		if c.ClientID == "" && c.Introspection {
			env.Warn("introspection needs --client_id")
		}
	})
	return failed
}

// validity says how long the token lives, by introspection or else by itself.
func (c *Cmd) validity(env *cli.Env, f infos) {
	exp, known := expiry(f.introspection)
	if !known && f.token != nil {
		t, err := f.token.body.Time("exp")
		exp, known = t, err == nil && !t.IsZero()
	}
	if !known {
		return
	}
	if left := exp.Sub(env.Now()); left > 0 {
		c.info(env, "Your token is valid for %s.", timespan(left))
	} else {
		c.info(env, "Your token has EXPIRED for %s!", timespan(-left))
	}
}

func expiry(o object) (time.Time, bool) {
	n, ok := o["exp"].(number)
	if !ok {
		return time.Time{}, false
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil || !(f >= 0 && f < 1<<40) {
		return time.Time{}, false
	}
	whole, part := math.Modf(f)
	return time.Unix(int64(whole), int64(part*1e9)), true
}

// timespan is d in words, at most the three largest units of it.
func timespan(d time.Duration) string {
	if d < time.Minute {
		return count(rounded(d.Seconds()), "second")
	}
	var words []string
	for _, u := range []struct {
		of   time.Duration
		name string
	}{
		{52 * 7 * 24 * time.Hour, "year"},
		{7 * 24 * time.Hour, "week"},
		{24 * time.Hour, "day"},
		{time.Hour, "hour"},
		{time.Minute, "minute"},
	} {
		if n := d / u.of; n > 0 {
			words = append(words, count(strconv.Itoa(int(n)), u.name))
		}
		d %= u.of
	}
	if s := rounded(d.Seconds()); s != "0" {
		words = append(words, count(s, "second"))
	}
	words = words[:min(len(words), 3)]
	last := words[len(words)-1]
	if len(words) == 1 {
		return last
	}
	text := words[0]
	for _, w := range words[1 : len(words)-1] {
		text += ", " + w
	}
	return text + " and " + last
}

func count(n, unit string) string {
	if n == "1" {
		return n + " " + unit
	}
	return n + " " + unit + "s"
}

// rounded has at most two digits behind the point.
func rounded(f float64) string {
	return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64)
}
