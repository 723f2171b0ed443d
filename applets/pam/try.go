package pam

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/cli"
)

// tryService is the name under which a stack is tried. Nobody logs in by it.
const tryService = "oidcbox-try"

// try lets pamtester go through the new stack before sshd does: the account phase of root has to say what it said
// before, an invented password has to be refused, and PAM has to understand every line.
func (c *changer) try(ctx context.Context, old, text string) error {
	if c.NoTry {
		return nil
	}
	program, err := findProgram("pamtester", "/usr/bin/pamtester", "/usr/local/bin/pamtester")
	if err != nil {
		return cli.Fail(cli.NotFound, err, "install it, or go without by --no-try")
	}
	root := c.root
	for _, kind := range []string{"auth", "account"} { // what PAM would only find out in a login
		if _, err := readStack(root, c.Service, kind); err != nil {
			return fmt.Errorf("read the PAM stack: %w", err)
		}
	}
	service := c.path("/etc/pam.d/" + tryService)
	defer os.Remove(service)
	before, err := c.tryOne(ctx, program, service, old, "acct_mgmt")
	if err != nil {
		return err
	}
	after, err := c.tryOne(ctx, program, service, text, "acct_mgmt")
	if err != nil {
		return err
	}
	if before && !after {
		err := errors.New("with the new stack root would not get through the account phase; nothing was changed")
		return cli.Fail(cli.No, err, "the log of the host says why")
	}
	in, err := c.tryOne(ctx, program, service, text, "authenticate")
	if err != nil {
		return err
	}
	if in {
		return cli.Failf(cli.No, "the new stack lets in whoever invents a password; nothing was changed")
	}
	return c.tryLines(text)
}

// tryOne is whether root gets through one phase of a stack.
func (c *changer) tryOne(ctx context.Context, program, service, text, phase string) (bool, error) {
	if err := replace(service, text, 0o644); err != nil {
		return false, fmt.Errorf("write a stack to try: %w", err)
	}
	_, err := runTool(ctx, c.env, string(form.New())+"\n", program, tryService, "root", phase)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.Exited() {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("try the new PAM stack: %w", err)
	}
	return true, nil
}

// tryLines goes through the new stack on paper: what no trial as root can show.
func (c *changer) tryLines(text string) error {
	const name = tryService + "-read"
	path := c.path("/etc/pam.d/" + name)
	if err := replace(path, text, 0o644); err != nil {
		return fmt.Errorf("write a stack to try: %w", err)
	}
	defer os.Remove(path)
	auth, err := readStack(c.root, name, "auth")
	if err != nil {
		return err
	}
	for _, f := range examineAuth(auth) {
		if f.Result == bad {
			return cli.Fail(cli.No, fmt.Errorf("%s; nothing was changed", f.Text), f.Hint)
		}
	}
	return nil
}
