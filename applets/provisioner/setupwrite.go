package provisioner

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/setup"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/token/entitlement"
)

const (
	serveHead = `# Configuration of "oidcbox provisioner serve". "oidcbox provisioner config example" has all keys with what they mean.

version: 1
`
	workerHead = `# Configuration of "oidcbox provisioner worker". "oidcbox provisioner config example worker" has all keys.

version: 1
`
	defaultGroup    = "federated"
	maxClientSecret = 8 << 10
)

// yaml is a text that is being written: everything that somebody said is quoted.
type yaml struct{ strings.Builder }

func (y *yaml) line(indent int, key, value string) {
	fmt.Fprintf(y, "%s%s: %s\n", strings.Repeat("  ", indent), key, setup.Quoted(value))
}

// serveText is the configuration of the server.
func (c *setupCmd) serveText(env *cli.Env) string {
	dir, run := c.serverState(env), within(env, c.RunDir)
	y := &yaml{}
	y.WriteString(serveHead)
	y.line(0, "listen", c.Listen)
	if strings.HasPrefix(c.Listen, "unix:") {
		y.WriteString("proxies: [unix]\n")
	} else {
		y.WriteString("proxies: [127.0.0.1, \"::1\"]\n")
	}
	if c.URL != nothing {
		y.line(0, "url", strings.TrimSuffix(c.URL, "/"))
	}
	y.line(0, "login", filepath.Join(run, "oidcbox", "login.sock"))
	y.line(0, "control", filepath.Join(run, "oidcbox", "control.sock"))
	y.line(0, "worker", filepath.Join(run, "oidcbox-worker", "worker.sock"))
	y.line(0, "backend", c.Backend)
	y.WriteString("state:\n")
	y.line(1, "file", filepath.Join(dir, stateFile))
	y.line(1, "key_file", filepath.Join(dir, stateKey))
	y.WriteString("keys:\n")
	y.line(1, "dir", filepath.Join(dir, "issuers"))
	if c.Audience != nothing {
		fmt.Fprintf(y, "audiences: [%s]\n", setup.Quoted(c.Audience))
	}
	c.issuerText(env, y)
	y.WriteString("accounts:\n")
	y.line(1, "assurance", c.Assurance)
	y.WriteString("groups:\n")
	y.line(1, "fallback", defaultGroup)
	y.WriteString("login_info:\n")
	y.line(1, "description", "ssh login to "+c.SSHHost)
	y.line(1, "ssh_host", c.SSHHost)
	return y.String()
}

func (c *setupCmd) issuerText(env *cli.Env, y *yaml) {
	fmt.Fprintf(y, "issuers:\n  %s:\n", setup.Quoted(c.Issuer))
	switch _, err := entitlement.Parse(c.Members); {
	case c.Members == everybody:
		y.WriteString("    users: ANYONE\n")
	case err == nil:
		fmt.Fprintf(y, "    users: {vo: {required: %s}}\n", setup.Quoted(c.Members))
	case strings.HasPrefix(c.Members, "/"):
		fmt.Fprintf(y, "    users: {vo: {required: %s, claim: wlcg.groups}}\n", setup.Quoted(c.Members))
	default:
		fmt.Fprintf(y, "    users: {vo: {required: %s, claim: groups}}\n", setup.Quoted(c.Members))
	}
	y.WriteString("    scopes: [openid, profile, email, eduperson_entitlement, eduperson_assurance]\n")
	if c.URL == nothing || c.ClientID == nothing {
		return
	}
	y.WriteString("    login:\n")
	y.line(3, "client_id", c.ClientID)
	if c.SecretOf != nothing {
		y.line(3, "client_secret_file", filepath.Join(c.serverState(env), loginSecret))
	}
}

// workerText is the configuration of the worker.
func (c *setupCmd) workerText(env *cli.Env) string {
	y := &yaml{}
	y.WriteString(workerHead)
	y.line(0, "socket", filepath.Join(within(env, c.RunDir), "oidcbox-worker", "worker.sock"))
	fmt.Fprintf(y, "users: [%s]\n", setup.Quoted(c.User))
	y.line(0, "state", filepath.Join(within(env, c.StateDir), "worker"))
	y.line(0, "backend", c.Backend)
	if c.Backend == localUnix {
		y.WriteString("local_unix:\n  shells: {full: /bin/bash}\n")
	}
	fmt.Fprintf(y, "groups: {given: [%s]}\n", defaultGroup)
	return y.String()
}

func (c *setupCmd) serverState(env *cli.Env) string {
	return filepath.Join(within(env, c.StateDir), "provisioner")
}

// write makes the directories, the copy of the client secret, and the configurations. What is wrong with the answers is
// said before anything is written.
func (c *setupCmd) write(env *cli.Env, file string) error {
	text, work := c.serveText(env), c.workerText(env)
	if _, err := parseSettings(file, []byte(text)); err != nil && !onlyMissingSecret(err) {
		return configError(ofServe, err)
	}
	if _, err := parseWorkerSettings(c.workerConfig(env), []byte(work)); err != nil {
		return configError(ofWorker, err)
	}
	err := setup.MakePrivateDir(c.serverState(env))
	if err == nil {
		err = c.copySecret(env)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755) //nolint:gosec // others read configurations, which have no secrets
	}
	if err == nil {
		err = setup.WriteNew(file, []byte(text), 0o644)
	}
	if err == nil {
		err = setup.WriteNew(c.workerConfig(env), []byte(work), 0o600)
	}
	if err == nil {
		return nil
	}
	hint := ""
	if errors.Is(err, fs.ErrPermission) {
		hint = "run it as root, or with --config-dir, --state-dir and --run-dir of your own"
	}
	return cli.Fail(cli.No, fmt.Errorf("setup: %w", err), hint)
}

func (c *setupCmd) copySecret(env *cli.Env) error {
	if c.SecretOf == nothing || c.SecretOf == "" {
		return nil
	}
	b, err := config.ReadFile(within(env, c.SecretOf), maxClientSecret)
	if err != nil {
		return fmt.Errorf("read the client secret: %w", err)
	}
	defer clear(b)
	if len(bytes.TrimSpace(b)) == 0 {
		return fmt.Errorf("the client secret is empty: %s", c.SecretOf)
	}
	return setup.WriteNew(filepath.Join(c.serverState(env), loginSecret), b, 0o600)
}

// onlyMissingSecret reports whether all that is wrong is that the copy of the client secret is not there yet.
func onlyMissingSecret(err error) bool {
	for _, f := range faultsOf(err) {
		if !strings.HasSuffix(f.Key, ".client_secret_file") {
			return false
		}
	}
	return faultsOf(err) != nil
}
