package pam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// checkCmd examines this host.
type checkCmd struct {
	User string `placeholder:"NAME" help:"A federated user: look at the account, and ask whether it may log in."`
	JSON bool   `name:"json" help:"Print a JSON object."`
}

// Run prints what it finds. The exit code is 1 when something is wrong.
func (c *checkCmd) Run(ctx context.Context, env *cli.Env) error {
	if os.Geteuid() != 0 {
		return cli.Fail(cli.Denied, errors.New("only root can see all of it"), "run it with sudo")
	}
	e := examiner{env: env, user: c.User, root: "/"}
	e.all(ctx)
	failed := false
	for _, f := range e.found {
		failed = failed || f.Result == bad
	}
	if c.JSON {
		b, err := json.MarshalIndent(map[string]any{"ok": !failed, "findings": e.found}, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "%s\n", b)
	} else {
		for _, f := range e.found {
			fmt.Fprintf(env.Stdout, "%-4s  %-8s  %s\n", f.Result, f.About, cli.Printable(f.Text))
			if f.Hint != "" {
				fmt.Fprintf(env.Stdout, "%16s  %s\n", "", f.Hint)
			}
		}
	}
	if failed {
		return cli.Exit(cli.No)
	}
	return nil
}

// examiner collects findings.
type examiner struct {
	env   *cli.Env
	user  string
	root  string
	found []finding
}

func (e *examiner) add(about, result, text, hint string) {
	e.found = append(e.found, finding{about, result, text, hint})
}

func (e *examiner) all(ctx context.Context) {
	user := e.user
	if user == "" {
		user = "nobody"
	}
	service := "sshd"
	s, err := readSSHD(ctx, e.env, user)
	if err != nil {
		e.add("sshd", bad, err.Error(), "")
	} else {
		e.found = append(e.found, examineSSHD(s)...)
		service = s.service()
	}
	auth, err := readStack(e.root, service, "auth")
	if err != nil {
		e.add("stack", bad, "PAM service "+service+": "+err.Error(), "")
		return
	}
	e.found = append(e.found, examineAuth(auth)...)
	if account, err := readStack(e.root, service, "account"); err != nil {
		e.add("stack", bad, "PAM service "+service+": "+err.Error(), "")
	} else {
		e.found = append(e.found, examineAccount(account)...)
	}
	if h, ok := helperIn(auth); ok {
		e.helper(ctx, h)
	}
}

// helper looks at the program that a line calls, and at what its options lead to.
func (e *examiner) helper(ctx context.Context, line rule) {
	path, args := execCommand(line)
	if line.module != "pam_exec" {
		path, args = moduleCommand(line)
		if !moduleThere(e.root, line.path) {
			e.add("helper", bad, line.path+" is not installed", "build it in packaging/pam")
		}
	}
	e.program(path)
	var h helper
	if err := h.read(args); err != nil {
		e.add("helper", bad, line.String()+": "+err.Error(), "see 'oidcbox pam --help'")
		return
	}
	h.log = newSyslog("", e.env.Now)
	if h.Config != "" {
		if err := h.readIni(h.Config); err != nil {
			e.add("helper", bad, err.Error(), "")
			return
		}
	}
	e.accounts(ctx, &h)
	e.ask(ctx, &h)
}

// moduleCommand is what the module of packaging/pam runs.
func moduleCommand(r rule) (path string, args []string) {
	path, args = installedHelper, []string{"--whole"}
	for _, a := range r.args {
		if p, ok := strings.CutPrefix(a, "helper="); ok {
			path = p
			continue
		}
		args = append(args, a)
	}
	return path, args
}

func (e *examiner) program(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		e.add("helper", bad, err.Error(), "'oidcbox self install-links' or a link of that name to oidcbox")
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		e.add("helper", bad, path+" is no program", "")
	case info.Mode().Perm()&0o022 != 0 || !ownedByRoot(info):
		e.add("helper", bad, path+" "+errOwner.Error(), "")
	default:
		e.add("helper", fine, path, "")
	}
}

// accounts says how federated accounts are told from local ones here.
func (e *examiner) accounts(ctx context.Context, h *helper) {
	_, err := os.Lstat(h.Marks)
	switch {
	case h.Local != "":
		e.add("accounts", fine, "users are mapped by the file that "+h.Local+" names", "")
	case h.UIDRange:
		text := fmt.Sprintf("every account with a uid from %d to %d counts as federated", h.Floor, h.Ceiling)
		e.add("accounts", notable, text, "")
	case err == nil:
		e.add("accounts", fine, "marked accounts in "+h.Marks, "")
	default:
		e.add("accounts", notable, "no marks at "+h.Marks+": the GECOS field says which accounts are federated",
			"make sure that users cannot change it (chfn, write access to their own entry in LDAP)")
	}
	if e.user == "" || h.Local != "" {
		return
	}
	if a, err := h.look(ctx, h.users, e.user); err != nil {
		e.add("accounts", bad, e.user+": "+err.Error(), "")
	} else {
		e.add("accounts", fine, fmt.Sprintf("%s (uid %d) belongs to %s", e.user, a.UID, orNone(a.id)), "")
	}
}

// ask performs a login that has to be refused: that shows that somebody answers. With a user it asks what the account
// phase would say.
func (e *examiner) ask(ctx context.Context, h *helper) {
	ctx, cancel := context.WithTimeout(ctx, 2*maxTime)
	defer cancel()
	h.q = login.Question{Phase: login.Auth, User: e.user, Via: "oidcbox-pam-check", Secret: secret.New(form.New())}
	if h.q.User == "" {
		h.q.User = "oidcbox-check"
	}
	var err error
	switch {
	case h.Local != "":
		_, err = h.authLocal(ctx, form.JWT)
		if errors.Is(err, errUnmanaged) || errors.Is(err, errNotMapped) || errors.Is(err, errBadToken) {
			err = errDenied
		}
	case h.VerifyEndpoint != "":
		_, err = h.getVerify(ctx)
	default:
		var answer login.Answer
		if answer, err = h.ask(ctx); err == nil && !answer.Allowed {
			err = fmt.Errorf("%w: %s", errDenied, orNone(answer.Reason))
		}
	}
	switch {
	case err == nil:
		e.add("test", bad, "an invented one-time password was accepted", "do not let anybody in before this is understood")
	case errors.Is(err, errDenied):
		why := strings.TrimPrefix(err.Error(), errDenied.Error()+": ")
		e.add("test", fine, "an invented one-time password was refused: "+why, "")
	default:
		e.add("test", bad, err.Error(), "is 'oidcbox provisioner serve' running, or the relay of this node?")
	}
	if e.user == "" || h.Local != "" || h.VerifyEndpoint != "" {
		return
	}
	h.q.Secret = secret.Text{}
	switch said, err := h.account(ctx); {
	case err != nil:
		e.add("test", bad, e.user+" may not log in: "+err.Error(), "")
	case said == "":
		e.add("test", notable, "nobody vouches for "+e.user+": a local user, or none at all", "")
	default:
		e.add("test", fine, e.user+" may log in: "+said, "")
	}
}
