package sshwrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// infoCmd is "ssh info".
type infoCmd struct {
	options
	JSON bool     `name:"json" help:"Print it as JSON."`
	Args []string `arg:"" optional:"" passthrough:"partial" help:"The host; none: the token alone."`
}

// Run shows what can be known.
func (c *infoCmd) Run(ctx context.Context, env *cli.Env) error {
	w := wrapped{options: c.options}
	return w.within(env, func(s *session) error { return s.info(ctx, c.Args, c.JSON) })
}

// section is one part of what is shown.
type section struct {
	title string // as the original has it
	key   string // in JSON
	value any    // json.RawMessage, or a string for people
	text  string // in the place of value, for people
}

// info shows what a service says, what it knows of the person, and what the token says.
func (s *session) info(ctx context.Context, words []string, asJSON bool) error {
	var sections []section
	var svc *service
	if len(words) > 0 {
		line, err := sshlogin.SSH().Split(words)
		if err != nil {
			return err
		}
		if len(line.Operands) > 0 {
			t, err := s.resolve(ctx, sshlogin.SSH().Options(line), line.Operands[0])
			if err != nil {
				return err
			}
			if svc, err = s.service(ctx, t); err != nil {
				return err
			}
			sections = append(sections, section{"Information about service", "service", json.RawMessage(svc.info.Raw), ""})
		}
	}
	if svc == nil {
		svc = &service{}
	}
	h, err := s.token(ctx, svc)
	if err == nil {
		defer h.text.Wipe()
		sections = append(sections, s.aboutToken(ctx, svc, h)...)
	} else if len(sections) > 0 {
		s.warn("nothing can be said of you: %v", err)
	}
	if len(sections) == 0 {
		//lint:ignore ST1005 the words are the original's
		return cli.Fail(cli.NotFound, fmt.Errorf("No information available: %w", err),
			"name a host, or a token")
	}
	if asJSON {
		return printSections(s.env.Stdout, sections)
	}
	return s.showSections(sections, h.text)
}

// aboutToken is what service, token and issuer say of the person.
func (s *session) aboutToken(ctx context.Context, svc *service, h held) []section {
	var out []section
	if svc.Base != "" {
		if b, err := svc.Authorisation(ctx, h.text); err == nil {
			out = append(out, section{
				title: "Authorisation on service for provided token issuer (OP)", key: "authorisation", value: json.RawMessage(b),
			})
		} else {
			s.warn("%v", err)
		}
		if a, err := svc.Status(ctx, h.text); err == nil {
			out = append(out, accountSection(a))
		} else {
			s.warn("%v", err)
		}
	}
	c, ok := readClaims(h.text)
	if !ok {
		return out
	}
	inside := map[string]any{"header": c.header, "body": c.body}
	if s.compat { // with it the token is whole, and what is shown here is sent to help desks
		inside["signature"] = c.signature
	}
	out = append(out, section{"Information stored inside the provided Access Token", "token", inside, ""})
	if b, err := s.userinfo(ctx, c.issuer, h.text); err == nil {
		out = append(out, section{"Information retrieved from userinfo endpoint", "userinfo", json.RawMessage(b), ""})
	} else {
		s.say("%v", err)
	}
	return out
}

func accountSection(a sshlogin.Account) section {
	sec := section{title: "Information about your local account on service for provided token", key: "account"}
	name, err := a.User()
	fields := map[string]string{"state": string(a.State), "message": a.Message}
	sec.text = fmt.Sprintf("Your account on service is %s.", strings.ReplaceAll(string(a.State), "_", " "))
	if err == nil && name != "" {
		fields["username"] = name
		sec.text += "\nLocal username: " + name
	}
	if a.State == state.Pending || a.State == state.Rejected {
		sec.text += "\n" + a.Message
	}
	sec.value = fields
	return sec
}

// userinfo asks the issuer that the token names, which it is from.
func (s *session) userinfo(ctx context.Context, issuer string, at secret.Text) ([]byte, error) {
	if issuer == "" {
		return nil, errors.New("the token names no issuer")
	}
	md, _, err := provider.DiscoverTyped(ctx, s.call, issuer)
	if err != nil {
		return nil, err
	}
	user, err := flow.New(s.call, md, flow.ClientConfig{}, flow.Options{Now: s.env.Now}).Userinfo(ctx, at)
	if err != nil {
		return nil, err
	}
	return user.MarshalJSON()
}

func printSections(w io.Writer, sections []section) error {
	all := map[string]any{}
	for _, sec := range sections {
		all[sec.key] = sec.value
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

// showSections prints as the original does: titles between lines, JSON four blanks deep.
func (s *session) showSections(sections []section, at secret.Text) error {
	var b strings.Builder
	for _, sec := range sections {
		rule := strings.Repeat("=", len(sec.title)+8)
		fmt.Fprintf(&b, "%s\n    %s\n%s\n", rule, sec.title, rule)
		if sec.text != "" {
			fmt.Fprintf(&b, "%s\n\n", cli.Printable(sec.text))
			continue
		}
		text, err := json.MarshalIndent(sec.value, "", "    ")
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s\n\n", cli.Printable(string(text)))
	}
	if c, ok := readClaims(at); ok && !c.expires.IsZero() {
		left := float64(c.expires.Sub(s.env.Now())) / float64(time.Second)
		fmt.Fprintf(&b, "Token valid for %.1f more seconds.\n", max(left, 0))
	}
	_, err := io.WriteString(s.env.Stdout, b.String())
	return err
}
