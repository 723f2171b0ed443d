package sshwrap

import (
	"cmp"
	"strings"

	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// call is what a command line of ssh says that the lines of "ssh config" cannot know.
type call struct {
	printed bool // ssh -G, as completion of shells and git have it: nobody logs in for that
	user    string
	port    string
}

func callOf(line sshlogin.Line) call {
	p := sshlogin.SSH()
	options := p.Options(line)
	c := call{printed: p.Has(options, "G"), user: p.Value(options, 'l'), port: p.Value(options, 'p')}
	for _, o := range p.Values(options) {
		if o.Letter != 'o' {
			continue
		}
		name, value, _ := strings.Cut(strings.Replace(strings.TrimSpace(o.Value), " ", "=", 1), "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "user":
			c.user = cmp.Or(c.user, strings.TrimSpace(value))
		case "port":
			c.port = cmp.Or(c.port, strings.TrimSpace(value))
		}
	}
	if len(line.Operands) > 0 {
		if place, err := sshlogin.ParseHost(line.Operands[0], "ssh"); err == nil {
			c.user, c.port = cmp.Or(place.User, c.user), cmp.Or(place.Port, c.port)
		}
	}
	return c
}

// elsewhere reports whether a call means another user or port than a connection that is kept has: it would go to the wrong
// place over that one, and in silence.
func (c call) elsewhere(v *visit) bool {
	return c.user != "" && c.user != v.user || c.port != "" && c.port != v.target.port
}
