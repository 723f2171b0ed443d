package pam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// errSSHD: sshd cannot say how it is configured.
var errSSHD = errors.New("sshd does not say how it is configured")

const toolTime = 20 * time.Second // for sshd -T and pamtester, which waits after a wrong password

// sshdSettings are what "sshd -T" prints: values by their key in lower case.
type sshdSettings map[string][]string

func (s sshdSettings) is(key, value string) bool { return slices.Contains(s[key], value) }

// interactive is whether sshd lets PAM ask; the key had another name before OpenSSH 8.7.
func (s sshdSettings) interactive() bool {
	return s.is("kbdinteractiveauthentication", "yes") || s.is("challengeresponseauthentication", "yes")
}

// service is the PAM service that sshd uses.
func (s sshdSettings) service() string {
	if v := s["pamservicename"]; len(v) == 1 {
		return v[0]
	}
	return "sshd"
}

// readSSHD asks sshd itself, for a login of user.
func readSSHD(ctx context.Context, env *cli.Env, user string) (sshdSettings, error) {
	program, err := findProgram("sshd", "/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd")
	if err != nil {
		return nil, err
	}
	out, err := runTool(ctx, env, "", program, "-T", "-C", "user="+user+",host=localhost,addr=127.0.0.1")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSSHD, err)
	}
	s := sshdSettings{}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		s[strings.ToLower(key)] = append(s[strings.ToLower(key)], value)
	}
	return s, nil
}

func findProgram(name string, places ...string) (string, error) {
	for _, p := range places {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: %w", name, os.ErrNotExist)
}

// runTool runs a program with a clean environment and returns what it prints on standard output. The error has what it
// says on the other.
func runTool(ctx context.Context, env *cli.Env, input, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Dir = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}, "/"
	cmd.Stdin = strings.NewReader(input)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err != nil {
		said := strings.TrimSpace(errOut.String())
		if len(said) > 500 {
			said = said[:500]
		}
		return out.String(), fmt.Errorf("%s: %w: %s", program, err, cli.Printable(said))
	}
	return out.String(), nil
}

// examineSSHD looks at what a login with a secret needs of sshd.
func examineSSHD(s sshdSettings) []finding {
	const about = "sshd"
	const remedy = "oidcbox pam config --install writes a drop-in; an earlier line of sshd_config wins over it"
	var all []finding
	need := func(good bool, text string) {
		f := finding{about, fine, text, ""}
		if !good {
			f.Result, f.Hint = bad, remedy
		}
		all = append(all, f)
	}
	need(s.is("usepam", "yes"), "UsePAM yes")
	need(s.interactive(), "KbdInteractiveAuthentication yes")
	for _, methods := range s["authenticationmethods"] {
		if methods != "any" && !strings.Contains(methods, "keyboard-interactive") {
			all = append(all, finding{
				about, bad, "AuthenticationMethods " + methods + " never asks PAM for a secret",
				"add keyboard-interactive to it",
			})
		}
	}
	like := func(good bool, text, why string) {
		if !good {
			all = append(all, finding{about, notable, "not set: " + text + ": " + why, remedy})
			return
		}
		all = append(all, finding{about, fine, text, ""})
	}
	env := strings.Join(s["acceptenv"], " ")
	like(strings.Contains(env, "OIDC_SOCK"), "AcceptEnv OIDC_SOCK", "a forwarded agent is not found by the tools")
	like(s.is("streamlocalbindunlink", "yes"), "StreamLocalBindUnlink yes",
		"the next login cannot forward an agent to the same socket")
	if s.is("passwordauthentication", "yes") {
		all = append(all, finding{
			about, notable, "PasswordAuthentication yes: the method 'password' reaches the same PAM stack", "",
		})
	}
	return all
}
