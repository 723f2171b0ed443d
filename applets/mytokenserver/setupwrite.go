package mytokenserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/setup"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/mytoken/sshapi"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/transport/listen"
)

// Names below the directory of the state.
const (
	stateFile    = "state.keys"
	stateKeyFile = "state-key"
	keysDir      = "keys"
	hostKeyFile  = "ssh_host_ed25519_key"
)

const writtenHead = `# Configuration of "oidcbox mytoken-server". "oidcbox mytoken-server config example" has all keys with what they mean.

version: 1
`

// configuration is the text of what the setup writes. Everything that somebody said is quoted.
func (c *setupCmd) configuration(env *cli.Env) string {
	dir := within(env, c.StateDir)
	b := &strings.Builder{}
	b.WriteString(writtenHead)
	line := func(indent int, key, value string) {
		fmt.Fprintf(b, "%s%s: %s\n", strings.Repeat("  ", indent), key, setup.Quoted(value))
	}
	line(0, "issuer", strings.TrimSuffix(c.Issuer, "/"))
	line(0, "listen", c.Listen)
	// A reverse proxy on this machine is what it is made for; whoever else is one has to be named by the operator.
	if strings.HasPrefix(c.Listen, "unix:") {
		fmt.Fprintf(b, "proxies: [%s]\n", unixPeers)
	} else {
		b.WriteString("proxies: [127.0.0.1, \"::1\"]\n")
	}
	b.WriteString("operator:\n")
	line(1, "name", c.Operator)
	line(1, "contact", c.Contact)
	b.WriteString("state:\n")
	line(1, "file", filepath.Join(dir, stateFile))
	line(1, "key_file", filepath.Join(dir, stateKeyFile))
	b.WriteString("keys:\n")
	line(1, "dir", filepath.Join(dir, keysDir))
	if u, err := url.Parse(c.Issuer); err == nil && c.SSH != "" {
		b.WriteString("ssh:\n")
		line(1, "listen", c.SSH)
		line(1, "host", u.Hostname())
		line(1, "host_key_files", filepath.Join(dir, hostKeyFile))
	}
	if c.Guests {
		b.WriteString("guests: true\n")
	}
	if c.ProviderIssuer != "" {
		fmt.Fprintf(b, "providers:\n  %s:\n", setup.Quoted(c.Provider))
		line(2, "issuer", c.ProviderIssuer)
		line(2, "client_id", c.ClientID)
		if c.ClientSecretFile != "" {
			line(2, "client_secret_file", c.secretPath(env))
		}
	}
	return b.String()
}

// secretPath is where the copy of the client secret goes: with the state, where others cannot read it.
func (c *setupCmd) secretPath(env *cli.Env) string {
	return filepath.Join(within(env, c.StateDir), c.Provider+"-secret")
}

// maxClientSecret is what a client secret may have at most.
const maxClientSecret = 8 << 10

// write makes the directories, the copy of the client secret, and the configuration.
func (c *setupCmd) write(env *cli.Env, file, text string) error {
	if err := setup.MakePrivateDir(within(env, c.StateDir)); err != nil {
		return err
	}
	if c.ClientSecretFile != "" {
		b, err := config.ReadFile(within(env, c.ClientSecretFile), maxClientSecret)
		if err != nil {
			return fmt.Errorf("read the client secret: %w", err)
		}
		defer clear(b)
		if len(bytes.TrimSpace(b)) == 0 {
			return fmt.Errorf("the client secret is empty: %s", c.ClientSecretFile)
		}
		if err := setup.WriteNew(c.secretPath(env), b, 0o600); err != nil {
			return fmt.Errorf("copy the client secret: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return setup.WriteNew(file, []byte(text), 0o644)
}

// makeAll makes keys and state where they are not there.
func makeAll(ctx context.Context, env *cli.Env, s *settings) error {
	// The state first: the keys are often below its directory.
	if s.state.File != "" {
		if err := setup.MakePrivateDir(filepath.Dir(s.state.File)); err != nil {
			return cli.Fail(cli.No, fmt.Errorf("setup: %w", err), "")
		}
	}
	if err := setup.MakePrivateDir(s.keys.dir); err != nil {
		return cli.Fail(cli.No, fmt.Errorf("setup: %w", err), "")
	}
	if _, err := loadKeys(s.keys.dir); errors.Is(err, errNoKeys) {
		if _, err = makeKey(s.keys.dir, s.keys.alg, env.Now()); err != nil {
			return cli.Fail(cli.No, fmt.Errorf("setup: %w", err), "")
		}
	} else if err != nil {
		return keysError(err)
	}
	if err := makeHostKeys(s.ssh.keys); err != nil {
		return cli.Fail(cli.No, fmt.Errorf("setup: %w", err), "")
	}
	st, err := makeState(ctx, env, s.state)
	if errors.Is(err, keystore.ErrExists) {
		env.Note("the state is there already and stays as it is")
		return nil
	}
	if err != nil {
		return err
	}
	return st.Close()
}

// makeHostKeys makes the host keys of the ssh server that are not there.
func makeHostKeys(paths []string) error {
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		key, err := sshapi.NewHostKey()
		if err != nil {
			return err
		}
		defer clear(key)
		if err := setup.WriteNew(path, key, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// next says what is to be done now.
func (c *setupCmd) next(env *cli.Env, s *settings) {
	opener := s.state.KeyFile
	if opener == "" {
		opener = "the credential " + s.state.Credential
	}
	env.Note("written: %s", s.file)
	env.Note("keys of mytokens: %s", s.keys.dir)
	env.Note("key of the state: %s - keep a copy elsewhere: without it nobody can read the state", opener)
	env.Note("")
	env.Note("next:")
	if len(s.providers) > 0 {
		env.Note("  register the server at %s: redirect URI %s%s, offline access", s.providers[0].Issuer, s.issuer, redirectPath)
	}
	env.Note("  oidcbox mytoken-server check --config %s", cli.ShellQuote(s.file))
	env.Note("  oidcbox mytoken-server serve --config %s", cli.ShellQuote(s.file))
	if block := nginxBlock(s); block != "" {
		env.Note("")
		env.Note("nginx, in front of it:\n%s", block)
	}
}

// nginxBlock is a reverse proxy for a server that listens on this machine.
func nginxBlock(s *settings) string {
	host, isHTTPS := strings.CutPrefix(s.issuer, "https://")
	if !isHTTPS || len(s.listen) == 0 {
		return ""
	}
	var to string
	switch p := s.listen[0]; {
	case p.Unix != "":
		to = "http://unix:" + p.Unix
	case p.TCP != "" && p.Cert == "" && listen.Loopback(p.TCP):
		to = "http://" + p.TCP
	default:
		return ""
	}
	return fmt.Sprintf(`server {
    listen 443 ssl;
    server_name %s;
    ssl_certificate     /etc/ssl/certs/%s.pem;
    ssl_certificate_key /etc/ssl/private/%s.key;
    location / {
        proxy_pass %s;
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto https;
    }
}`, host, host, host, to)
}
