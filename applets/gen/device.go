package gen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
)

// deviceCode is what a person needs of a device authorization. A mytoken server gives no code to type.
type deviceCode struct {
	UserCode string `json:"user_code"`
	URI      string `json:"verification_uri"`
	Complete string `json:"verification_uri_complete"`
	URL      string `json:"verification_url"` // Google's name for it
	Expires  int64  `json:"expires_in"`
	Interval int64  `json:"interval"`
}

// device shows the code and polls until the person has approved.
func (s *session) device(ctx context.Context, object secret.Text) (proto.Reply, error) {
	var d deviceCode
	if err := object.Use(func(b []byte) error { return json.Unmarshal(b, &d) }); err != nil {
		return proto.Reply{}, fmt.Errorf("read the device code: %w", err)
	}
	if d.URI == "" {
		d.URI = d.URL
	}
	life := wait
	if d.Expires > 0 {
		life = min(wait, time.Duration(d.Expires)*time.Second)
	}
	s.show(d)
	ticks := s.progress(fmt.Sprintf("Waiting up to %s until the login is approved there ...", life.Round(time.Second)))
	defer ticks.end()
	limited, cancel := context.WithTimeout(ctx, life)
	defer cancel()
	pause := 5 * time.Second // RFC 8628 section 3.2
	if d.Interval > 0 && d.Interval < 300 {
		pause = time.Duration(d.Interval) * time.Second
	}
	for {
		if err := sleep(limited, pause); err != nil {
			return proto.Reply{}, s.notApproved(ctx)
		}
		rep, err := s.call(limited, proto.Request{Type: proto.TypeDevice, Device: object, OnlyAT: s.cmd.OnlyAT})
		switch {
		case isText(err, proto.TextPending):
		case isText(err, proto.TextSlowDown):
			pause += 5 * time.Second // RFC 8628 section 3.5
		case err != nil && limited.Err() != nil:
			return rep, s.notApproved(ctx)
		default:
			return rep, err
		}
		ticks.dot()
	}
}

func (s *session) notApproved(ctx context.Context) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if s.env.Upstream {
		return errCodeOver
	}
	return cli.Fail(cli.Temporary, errors.New("the login was not approved in time"), "run the same command again")
}

// errCodeOver is the original's line.
const errCodeOver = asPrinted("Device code is not valid any more!")

// asPrinted is an error whose text the original prints so.
type asPrinted string

func (e asPrinted) Error() string { return string(e) }

// show says where to go and what to type there, with a picture of the link for the camera of a telephone.
func (s *session) show(d deviceCode) {
	s.env.Note("\nUsing a browser on any device, visit:\n%s\n", d.URI)
	if d.UserCode != "" {
		s.env.Note("And enter the code: %s", d.UserCode)
	}
	link := d.URI
	if d.Complete != "" && d.Complete != d.URI {
		link = d.Complete
		s.env.Note("Alternatively you can use the following link, which has the code in it:\n%s", link)
	}
	if picture := s.picture(link); picture != "" {
		s.env.Note("Alternatively you can use the following QR code to visit the above listed URL.\n")
		_, _ = fmt.Fprint(s.env.Stderr, picture) // drawn by us: no text of the provider is in it
	}
}

// picture is the QR code of a web address, "" where standard error shows none.
func (s *session) picture(link string) string {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	width, height, ok := term.Size(s.env.Stderr)
	if !ok || s.env.Getenv("TERM") == "dumb" {
		return ""
	}
	picture, err := term.QR(u.String(), term.QROptions{Width: width, Height: height, Colour: s.colour()})
	if err != nil {
		return ""
	}
	return picture
}

// colour reports whether colours are wanted, as the original finds out.
func (s *session) colour() bool {
	if v := s.env.Getenv("OIDC_AGENT_NOCOLOR"); v != "" {
		return v[0] == '0'
	}
	return s.env.Getenv("NO_COLOR") == ""
}

// progress is a line that grows while somebody waits. Only a terminal sees it grow.
type progress struct {
	s    *session
	open bool
}

func (s *session) progress(text string) *progress {
	if !cli.IsTerminal(s.env.Stderr) {
		s.env.Note("%s", text)
		return &progress{}
	}
	_, _ = fmt.Fprint(s.env.Stderr, text)
	return &progress{s, true}
}

func (p *progress) dot() {
	if p.open {
		_, _ = fmt.Fprint(p.s.env.Stderr, ".")
	}
}

// end finishes the line. It may be called again.
func (p *progress) end() {
	if p.open {
		_, _ = fmt.Fprintln(p.s.env.Stderr)
	}
	p.open = false
}
