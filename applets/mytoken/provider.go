package mytoken

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/mytoken"
)

// provider finds the issuer of a provider: by its issuer, its name in the configuration or at the server, or because it
// is the only one; at last by asking.
func (s *session) provider(ctx context.Context, srv *mytoken.Server, name string) (string, error) {
	name = cmp.Or(name, s.set.provider)
	if issuer, ok := s.set.issuer(name); ok {
		name = issuer
	}
	if name == "" {
		return s.anyProvider(ctx, srv)
	}
	var found []string
	for _, p := range srv.Providers {
		if mytoken.SameIssuer(p.Issuer, name) {
			return p.Issuer, nil
		}
		if strings.EqualFold(p.Name, name) {
			found = append(found, p.Issuer)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	if len(srv.Providers) == 0 && strings.Contains(name, "://") {
		return name, nil
	}
	return "", cli.Fail(cli.NotFound, fmt.Errorf("the mytoken server %s has no provider %s", srv.Issuer, name),
		"see those it has with: mytoken list providers")
}

func (s *session) anyProvider(ctx context.Context, srv *mytoken.Server) (string, error) {
	switch {
	case len(srv.Providers) == 1:
		return srv.Providers[0].Issuer, nil
	case len(srv.Providers) == 0:
		return "", cli.Failf(cli.NotFound, "the mytoken server %s names no providers", srv.Issuer)
	case !term.Usable():
		return "", cli.Fail(cli.Usage, errors.New("the mytoken server has several providers"), "choose one with -i")
	}
	question := "Providers:\n"
	for i, p := range srv.Providers {
		question += fmt.Sprintf("  %d  %s  %s\n", i+1, oneLine(p.Issuer), oneLine(p.Name))
	}
	if err := term.Show(question); err != nil {
		return "", err
	}
	answer, err := term.Line(ctx, "Which one? ")
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSpace(answer))
	if err != nil || n < 1 || n > len(srv.Providers) {
		return "", cli.Failf(cli.Usage, "there is no provider of that number")
	}
	return srv.Providers[n-1].Issuer, nil
}

// logIn sends the person to the consent page and waits.
func (s *session) logIn(ctx context.Context, cl *mytoken.Client, r mytoken.Request) (mytoken.Issued, error) {
	w, err := cl.Start(ctx, r)
	if err != nil {
		return mytoken.Issued{}, err
	}
	defer w.Code.Wipe()
	s.showConsent(w)
	return cl.Wait(ctx, w)
}

// showConsent tells the person where to decide.
func (s *session) showConsent(w mytoken.Consent) {
	if w.UserCode != "" {
		s.env.Note("Open this page in a browser anywhere and log in, with the code %s:\n\n  %s\n", w.UserCode, w.URI)
	} else {
		s.env.Note("Open this page in a browser, say what the mytoken may be used for, and log in:\n\n  %s\n", w.URI)
	}
	if cli.IsTerminal(s.env.Stderr) {
		_ = term.ShowQR(w.URI, s.env.Getenv("NO_COLOR") == "" && !s.cmd.NoColor) // the link is there in any case
	}
	s.env.Note("Waiting up to %v ...", w.Expires.Sub(s.env.Now()).Round(1e9))
}
