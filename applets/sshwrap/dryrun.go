package sshwrap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
)

// dryRun prints what would be run. Under the original's name it is what the original prints, with the secret in it;
// under ours the command alone: what ssh is told on the way cannot be written down.
func (s *session) dryRun(ctx context.Context, v *visit, program string, argv []string) error {
	defer v.held.text.Wipe()
	if !s.compat {
		_, err := fmt.Fprintf(s.env.Stdout, "%s %s\n", program, quoted(argv))
		return err
	}
	word, err := s.secretWord(ctx, v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.env.Stdout, "SSHPASS=%s sshpass -P 'Access Token' -e %s %s\n", word, program, quoted(argv))
	return err
}

// originalLimit is the length from which on the original uses one-time passwords.
const originalLimit = 1024

// secretWord is how a shell gets the secret: by the agent's client where the token is from there.
func (s *session) secretWord(ctx context.Context, v *visit) (string, error) {
	if v.held.text.Len() >= originalLimit {
		otp, err := v.OTP(ctx, v.held.text, v.info.OwnOTP)
		if err != nil {
			return "", err
		}
		defer otp.Wipe()
		return singleQuoted(otp.Expose()), nil
	}
	req := v.held.asked
	if req.Type == "" && req.Account == "" && req.Issuer == "" {
		return singleQuoted(v.held.text.Expose()), nil
	}
	words := []string{"oidc-token"}
	if req.Scope != "" {
		words = append(words, "--scope "+scopeWord(req.Scope))
	}
	if req.Audience != "" {
		words = append(words, "--aud "+cli.ShellQuote(req.Audience))
	}
	name := req.Account
	if name == "" {
		name = req.Issuer
	}
	return substituted(strings.Join(append(words, cli.ShellQuote(name)), " ")), nil
}

// singleQuoted is how the original writes a secret. A password is what a service says: it may have quotes in it.
func singleQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// scopeWord is in double quotes, as the original has it, unless a shell would find something in there: a service says
// which scopes there are.
func scopeWord(scope string) string {
	if strings.ContainsAny(scope, "\"$`\\!\r\n") {
		return cli.ShellQuote(scope)
	}
	return `"` + scope + `"`
}

// substituted is a command whose output is meant. In the original's back quotes another one ends it, quoted or not.
func substituted(command string) string {
	if strings.ContainsAny(command, "`\\") {
		return "$(" + command + ")"
	}
	return "`" + command + "`"
}

// dryRunAll is dryRun for scp with several hosts.
func (s *session) dryRunAll(ctx context.Context, visits []*visit, argv []string) error {
	defer func() {
		for _, v := range visits {
			v.held.text.Wipe()
		}
	}()
	lines := []string{}
	for _, v := range visits {
		if !s.compat {
			break
		}
		word, err := s.secretWord(ctx, v)
		if err != nil {
			return err
		}
		lines = append(lines, "echo "+word)
	}
	if s.compat {
		title := "# you'll need to input the tokens below when prompted, in this order:"
		lines = slices.Concat([]string{title}, lines)
	}
	_, err := fmt.Fprintln(s.env.Stdout, strings.Join(append(lines, "scp "+quoted(argv)), "\n"))
	return err
}
