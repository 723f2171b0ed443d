package pam

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
)

// Files that are changed.
const (
	installedHelper = "/usr/libexec/oidcbox/oidcbox-pam"

	sshdConfig   = "/etc/ssh/sshd_config"
	dropInDir    = "/etc/ssh/sshd_config.d"
	dropIn       = dropInDir + "/00-oidcbox.conf"
	backupSuffix = ".before-oidcbox"
)

// configCmd sets sshd and its PAM stack up, or takes that back.
type configCmd struct {
	Install bool     `xor:"what" required:"" help:"Put the helper in front of the stack, and write a drop-in for sshd."`
	Remove  bool     `xor:"what" required:"" help:"Take both out again."`
	Service string   `default:"sshd" placeholder:"NAME" help:"PAM service of sshd."`
	Helper  string   `default:"/usr/libexec/oidcbox/oidcbox-pam" placeholder:"FILE" help:"Where the helper is."`
	Module  string   `placeholder:"FILE" help:"Use this PAM module (pam_oidcbox.so) instead of pam_exec."`
	NoTry   bool     `help:"Do not try the stack with pamtester first."`
	Options []string `arg:"" optional:"" help:"Options of the helper, as floor=20000."`
}

// Run changes the files, or says that there is nothing to change.
func (c *configCmd) Run(ctx context.Context, env *cli.Env) error {
	if os.Geteuid() != 0 {
		return cli.Fail(cli.Denied, errors.New("only root changes how users log in"), "run it with sudo")
	}
	ch := changer{configCmd: c, env: env, root: "/"}
	if err := ch.change(ctx); err != nil {
		return err
	}
	if len(ch.changed) == 0 {
		env.Note("nothing to change")
		return nil
	}
	for _, what := range ch.changed {
		env.Note("%s", what)
	}
	env.Note("now make sshd read its configuration: systemctl reload ssh (or sshd)")
	return nil
}

// changer does one change, all of it or nothing.
type changer struct {
	*configCmd
	env     *cli.Env
	root    string
	changed []string
	undo    []func() error
}

func (c *changer) path(name string) string { return filepath.Join(c.root, name) }
func (c *changer) stack() string           { return c.path("/etc/pam.d/" + c.Service) }

func (c *changer) change(ctx context.Context) error {
	if strings.ContainsAny(c.Service, "/\x00") || c.Service == "" || c.Service[0] == '.' {
		return cli.Failf(cli.Usage, "%q is no name of a PAM service", c.Service)
	}
	var err error
	if c.Install {
		err = c.install(ctx)
	} else {
		err = c.remove()
	}
	if err == nil && len(c.changed) > 0 {
		err = c.checkSSHD(ctx)
	}
	if err != nil {
		return errors.Join(err, c.rollback())
	}
	return nil
}

func (c *changer) rollback() error {
	var errs []error
	for i := len(c.undo) - 1; i >= 0; i-- {
		errs = append(errs, c.undo[i]())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("put files back: %w", err)
	}
	return nil
}

func (c *changer) install(ctx context.Context) error {
	var o options
	args := c.Options
	if c.Module != "" {
		args = append([]string{"whole"}, args...)
	}
	if err := o.read(args); err != nil {
		return cli.Fail(cli.Usage, err, "see 'oidcbox pam --help'")
	}
	if !strings.HasPrefix(c.Helper, "/") || !rootsProgram(c.path(c.Helper)) {
		return cli.Fail(cli.NotFound, fmt.Errorf("there is no program at %s that is root's alone to write", c.Helper),
			"link it to oidcbox, or name it with --helper")
	}
	old, err := config.ReadFile(c.stack(), maxStack)
	if err != nil {
		return cli.Fail(cli.NotFound, fmt.Errorf("read the PAM stack: %w", err), "--service names that of sshd")
	}
	auth, account := c.lines()
	text, err := editStack(string(old), auth, account)
	if err != nil {
		return cli.Failf(cli.No, "%s %w", c.stack(), err)
	}
	if text != string(old) {
		if err := c.try(ctx, string(old), text); err != nil {
			return err
		}
	}
	if err := c.write(c.stack(), text); err != nil {
		return err
	}
	return c.installSSHD()
}

// rootsProgram reports whether root runs a program there that nobody else can change.
func rootsProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o022 == 0 && ownedByRoot(info)
}

// lines are those of the helper in the stack.
func (c *changer) lines() (auth, account string) {
	words := append([]string{c.Helper}, c.Options...)
	if c.Module != "" {
		line := c.Module
		if c.Helper != installedHelper {
			line += " helper=" + c.Helper
		}
		line = strings.Join(append([]string{line}, c.Options...), " ")
		return "auth sufficient " + line, "account required " + line
	}
	line := strings.Join(words, " ")
	return "auth sufficient pam_exec.so expose_authtok quiet " + line, "account required pam_exec.so quiet " + line
}

func sshdLines() []string {
	return []string{
		"UsePAM yes", "KbdInteractiveAuthentication yes", "AcceptEnv OIDC_SOCK", "StreamLocalBindUnlink yes",
	}
}

// installSSHD writes a drop-in where sshd_config includes them, and else a block at the top of it: of two lines for one
// setting sshd takes the first.
func (c *changer) installSSHD() error {
	main := c.path(sshdConfig)
	b, err := config.ReadFile(main, maxStack)
	if err != nil {
		return fmt.Errorf("read configuration of sshd: %w", err)
	}
	text, err := withoutBlocks(string(b))
	if err != nil {
		return cli.Failf(cli.No, "%s %w", main, err)
	}
	if includes(text) {
		if err := c.write(main, text); err != nil {
			return err
		}
		return c.write(c.path(dropIn), block(sshdLines()...))
	}
	return c.write(main, block(sshdLines()...)+text)
}

// includes reports whether sshd reads the directory of drop-ins, before anything else is set for some users only.
func includes(text string) bool {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case strings.EqualFold(words[0], "Match"):
			return false
		case strings.EqualFold(words[0], "Include"):
			for _, pattern := range words[1:] {
				if !filepath.IsAbs(pattern) {
					pattern = filepath.Join(filepath.Dir(sshdConfig), pattern)
				}
				if ok, err := filepath.Match(pattern, dropIn); err == nil && ok {
					return true
				}
			}
		}
	}
	return false
}

func (c *changer) remove() error {
	for _, path := range []string{c.stack(), c.path(sshdConfig)} {
		b, err := config.ReadFile(path, maxStack)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		text, err := withoutBlocks(string(b))
		if err != nil {
			return cli.Failf(cli.No, "%s %w", path, err)
		}
		if err := c.write(path, text); err != nil {
			return err
		}
	}
	return c.write(c.path(dropIn), "")
}

// write brings a file to a text, "" for no drop-in, and remembers how to take that back. What was there before goes to
// a backup beside it, except for our own drop-in.
func (c *changer) write(path, text string) error {
	old, err := config.ReadFile(path, maxStack)
	there := err == nil
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case string(old) == text && (there || text == ""):
		return nil
	}
	own := path == c.path(dropIn)
	if own && there && !strings.HasPrefix(string(old), "# begin oidcbox") {
		return cli.Failf(cli.No, "%s was not written by this command", path)
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	if there && !own {
		if err := replace(path+backupSuffix, string(old), mode); err != nil {
			return fmt.Errorf("keep a backup: %w", err)
		}
	}
	c.undo = append(c.undo, func() error {
		if !there {
			return os.Remove(path)
		}
		return replace(path, string(old), mode)
	})
	if own && text == "" {
		c.changed = append(c.changed, "removed "+path)
		return os.Remove(path)
	}
	what := "changed " + path
	if there && !own {
		what += ", the one before is " + path + backupSuffix
	}
	c.changed = append(c.changed, what)
	return replace(path, text, mode)
}

// replace writes a file as a whole: sshd may read it at any moment.
func replace(path, text string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".oidcbox-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

// checkSSHD asks sshd whether it takes the new files, and means what they say.
func (c *changer) checkSSHD(ctx context.Context) error {
	s, err := readSSHD(ctx, c.env, "nobody")
	if err != nil {
		return fmt.Errorf("sshd refuses the new configuration, all is as it was: %w", err)
	}
	if c.Remove {
		return nil
	}
	for _, f := range examineSSHD(s) {
		if f.Result == bad {
			return cli.Fail(cli.No, fmt.Errorf("sshd does not do what the drop-in says, all is as it was: %s", f.Text),
				"look for another line about it in "+sshdConfig+" or "+dropInDir)
		}
	}
	if name := s.service(); name != c.Service {
		return cli.Failf(cli.No, "sshd uses the PAM service %s, all is as it was", name)
	}
	return nil
}
