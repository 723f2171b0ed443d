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
		return "'" + otp.Expose() + "'", nil
	}
	req := v.held.asked
	if req.Type == "" && req.Account == "" && req.Issuer == "" {
		return "'" + v.held.text.Expose() + "'", nil
	}
	words := []string{"oidc-token"}
	if req.Scope != "" {
		words = append(words, `--scope "`+req.Scope+`"`)
	}
	if req.Audience != "" {
		words = append(words, "--aud "+cli.ShellQuote(req.Audience))
	}
	name := req.Account
	if name == "" {
		name = req.Issuer
	}
	return "`" + strings.Join(append(words, cli.ShellQuote(name)), " ") + "`", nil
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
