package sshwrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
)

// wish is what a service wants a token to be good for, as somebody has agreed to it.
type wish struct {
	Service  string `json:"service"`
	Scopes   string `json:"scopes,omitempty"`
	Audience string `json:"audience,omitempty"`
}

// agree looks at what a service wants before the agent is asked for it. A host could otherwise have a token made for
// another service, with scopes that open data there, and use it in the person's name: who they are is all that a login
// needs. Anything else has to be said on the command line, or agreed to at the terminal, once.
func (s *session) agree(ctx context.Context, svc *service, scopes, audience string) error {
	if (s.Scope != "" || modest(scopes)) && (s.Aud != "" || svc.isMeant(audience)) {
		return nil
	}
	w := wish{Service: svc.Base, Scopes: scopes, Audience: audience}
	path := agreedPath(s.env)
	agreed := readAgreed(path)
	if slices.Contains(agreed, w) {
		return nil
	}
	what := fmt.Sprintf("scopes %q", scopes)
	if audience != "" {
		what += fmt.Sprintf(" and audience %q", audience)
	}
	if svc.target.batch || !term.Usable() {
		err := fmt.Errorf("%s wants a token that is good for more than a login there: %s", svc.Base, what)
		return cli.Fail(cli.Human, err,
			fmt.Sprintf("if it may have one: --scope %s --aud %s", cli.ShellQuote(scopes), cli.ShellQuote(audience)))
	}
	answer, err := term.Line(ctx, fmt.Sprintf(
		"%s wants a token that is good for more than a login there:\n%s.\nMay it have one? [y/N] ", svc.Base, what))
	if err != nil {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return cli.Fail(cli.Denied, errors.New("the service gets no token"), "")
	}
	if err := writeAgreed(path, append(agreed, w)); err != nil {
		s.warn("it will be asked again: %v", err)
	}
	return nil
}

// modest reports whether scopes tell who somebody is and open nothing.
func modest(scopes string) bool { return !slices.ContainsFunc(strings.Fields(scopes), immodest) }

func immodest(scope string) bool {
	name, _, _ := strings.Cut(scope, ":")
	return !slices.Contains([]string{
		"openid", "profile", "email", "offline_access", "entitlements", "eduperson", "wlcg", "wlcg.groups", "groups", "aarc",
		"acr", "single-logout", "ssh", "sn", "display_name",
	}, name) && !strings.HasPrefix(name, "eduperson_") && !strings.HasPrefix(name, "voperson_") &&
		!strings.HasPrefix(name, "schac_")
}

// isMeant reports whether an audience is the service itself: the host that the person has named, or the service's own.
func (v *service) isMeant(audience string) bool {
	if audience == "" {
		return true
	}
	name := strings.ToLower(audience)
	if u, err := url.Parse(audience); err == nil && u.Host != "" {
		name = strings.ToLower(u.Hostname())
	}
	own := []string{v.target.host}
	if u, err := url.Parse(v.Base); err == nil {
		own = append(own, strings.ToLower(u.Hostname()))
	}
	return slices.Contains(own, name)
}

// agreedPath is the file of what was agreed to, "" where a person has no directory for it.
func agreedPath(env *cli.Env) string {
	dir := env.Getenv("XDG_CONFIG_HOME")
	if home := env.Getenv("HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".config")
	}
	if !filepath.IsAbs(dir) {
		return ""
	}
	return filepath.Join(dir, "oidcbox", "ssh-services.json")
}

// readAgreed is empty when there is nothing, or nothing that can be believed.
func readAgreed(path string) []wish {
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode().Perm()&0o022 != 0 {
		return nil
	}
	b, err := readSome(path, maxAgreed)
	var list []wish
	if err != nil || json.Unmarshal(b, &list) != nil {
		return nil
	}
	return list
}

const maxAgreed = 1 << 20

func writeAgreed(path string, list []wish) error {
	if path == "" {
		return errors.New("there is no place to write it down")
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return replaceFile(path, append(b, '\n'))
}

// replaceFile writes a file of this person alone, whole or not at all.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
