package mytoken

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

type sshCmd struct {
	List   sshListCmd   `cmd:"" name:"list" help:"List the keys."`
	Add    sshAddCmd    `cmd:"" name:"add" help:"Let a key get tokens, after a login."`
	Delete sshDeleteCmd `cmd:"" name:"delete" help:"Take that from a key."`
}

type sshListCmd struct {
	root *Cmd
	source
}

// Run lists the keys.
func (c *sshListCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		var enabled bool
		keys, err := ask(ctx, s, h, func(mt secret.Text) (keys []mytoken.SSHKey, update *mytoken.Issued, err error) {
			enabled, keys, update, err = cl.SSHKeys(ctx, mt)
			return keys, update, err
		})
		if err != nil {
			return err
		}
		if !enabled {
			s.env.Warn("the grant is switched off: mytoken settings grants enable ssh")
		}
		type key struct {
			Name        string `json:"name,omitempty"`
			Fingerprint string `json:"ssh_key_fp"`
			Created     int64  `json:"created"`
			LastUsed    int64  `json:"last_used,omitempty"`
		}
		out, rows := []key{}, [][]string{{"NAME", "FINGERPRINT", "CREATED", "LAST USED"}}
		for _, k := range keys {
			out = append(out, key{k.Name, k.Fingerprint, unix(k.Created), unix(k.LastUsed)})
			rows = append(rows, []string{k.Name, k.Fingerprint, timeText(k.Created, "-"), timeText(k.LastUsed, "never")})
		}
		return s.show(out, rows)
	})
}

type sshAddCmd struct {
	root *Cmd
	source
	limits
	Key         string `arg:"" help:"File with the public key."`
	KeyName     string `name:"key-name" placeholder:"NAME" help:"Name of the key, and of the host in ~/.ssh/config."`
	NoHostEntry bool   `name:"no-write-host-entry" help:"Print the entry for ~/.ssh/config, do not write it."`
}

// maxKey bounds a file with a public key.
const maxKey = 64 << 10

// Run lets a key get tokens. The entry for ssh is made here of what the server says: a line of a stranger in
// ~/.ssh/config could run any program.
func (c *sshAddCmd) Run(ctx context.Context, env *cli.Env) error {
	line, err := publicKey(env, c.Key)
	if err != nil {
		return err
	}
	return c.root.with(ctx, env, c.source, func(s *session, cl *mytoken.Client, h *held) error {
		r, err := c.limits.request(s, cl.Server())
		if err != nil {
			return err
		}
		w, err := ask(ctx, s, h, func(mt secret.Text) (mytoken.Consent, *mytoken.Issued, error) {
			return cl.AddSSHKey(ctx, mt, mytoken.SSHKeyRequest{
				Key: line, Name: c.KeyName, Capabilities: r.Capabilities, Restrictions: r.Restrictions,
			})
		})
		if err != nil {
			return err
		}
		defer w.Code.Wipe()
		s.showConsent(w)
		l, err := cl.WaitSSHKey(ctx, w)
		if err != nil {
			return err
		}
		defer l.Wipe()
		entry, err := hostEntry(l.Config.Expose(), l.User.Expose(), c.Key)
		if err != nil {
			return err
		}
		return c.deliver(s, entry)
	})
}

func (c *sshAddCmd) deliver(s *session, entry string) error {
	home := s.env.Getenv("HOME")
	if c.NoHostEntry || home == "" {
		_, err := fmt.Fprint(s.env.Stdout, entry)
		return err
	}
	path := filepath.Join(home, ".ssh", "config")
	if err := appendOwn(path, "\n"+entry); err != nil {
		_, _ = fmt.Fprint(s.env.Stdout, entry)
		return fmt.Errorf("write the entry that is on standard output: %w", err)
	}
	s.env.Note("the host is in %s", path)
	return nil
}

// publicKey is the line of a public key; what may be a private one is not read any further.
func publicKey(env *cli.Env, name string) (string, error) {
	b, err := config.ReadFile(within(env, name), maxKey)
	if err != nil {
		return "", cli.Fail(cli.NotFound, fmt.Errorf("read the public key: %w", err), "")
	}
	line := strings.TrimSpace(string(b))
	if !strings.HasPrefix(line, "ssh-") && !strings.HasPrefix(line, "ecdsa-") && !strings.HasPrefix(line, "sk-") ||
		strings.ContainsAny(line, "\r\n\x00") {
		return "", cli.Fail(cli.Usage, errors.New("that is no file of one public key"), "it is the one that ends in .pub")
	}
	return line, nil
}

// hostEntry is an entry for ~/.ssh/config. Of the server's text only name, address and port are used, and only where
// they are nothing else.
func hostEntry(suggested, user, key string) (string, error) {
	values := map[string]string{"port": "22"}
	for line := range strings.Lines(suggested) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		name, value = strings.ToLower(name), strings.TrimSpace(value)
		if ok && (name == "host" || name == "hostname" || name == "port") {
			values[name] = value
		}
	}
	for _, name := range []string{"host", "hostname"} {
		if !plainWord(values[name]) {
			return "", fmt.Errorf("the server's host entry: %w", mytoken.ErrAnswer)
		}
	}
	if n, err := strconv.Atoi(values["port"]); err != nil || n < 1 || n > 65535 || !plainWord(user) {
		return "", fmt.Errorf("the server's host entry: %w", mytoken.ErrAnswer)
	}
	identity := strings.TrimSuffix(key, ".pub")
	if strings.ContainsAny(identity, "\"\n\r%$") {
		identity = ""
	}
	entry := fmt.Sprintf("Host %s\n    HostName %s\n    Port %s\n    User %s\n", values["host"], values["hostname"],
		values["port"], user)
	if abs, err := filepath.Abs(identity); err == nil && identity != "" {
		entry += fmt.Sprintf("    IdentityFile \"%s\"\n    IdentitiesOnly yes\n", abs)
	}
	return entry, nil
}

// plainWord allows what stands in names and addresses, and nothing that means something to ssh.
func plainWord(s string) bool {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:", r)
	}
	return s != "" && len(s) <= 253 && s[0] != '-' && !strings.ContainsFunc(s, bad)
}

// appendOwn adds to a file that only its owner may read: the user name in it is the secret.
func appendOwn(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		return errors.Join(fmt.Errorf("others can read %s", path), f.Close())
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

type sshDeleteCmd struct {
	root *Cmd
	source
	Key string `arg:"" help:"Fingerprint of the key (SHA256:...), or file with the public key."`
}

// Run takes a key its mytoken.
func (c *sshDeleteCmd) Run(ctx context.Context, env *cli.Env) error {
	fingerprint, line := c.Key, ""
	if !isFingerprint(c.Key) {
		var err error
		if line, err = publicKey(env, c.Key); err != nil {
			return err
		}
		fingerprint = ""
	}
	return c.root.change(ctx, env, c.source,
		func(cl *mytoken.Client, mt secret.Text) (*mytoken.Issued, error) {
			return cl.RemoveSSHKey(ctx, mt, fingerprint, line)
		})
}
