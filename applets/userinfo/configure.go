package userinfo

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	maxConfig = 64 << 10
	maxSecret = 4 << 10
)

// configure takes what the command line leaves open from the configuration files: those of the person that are there,
// and the one of --my-config, which wins.
func (c *Cmd) configure(env *cli.Env) error {
	set := map[string]string{}
	if home := env.Getenv("HOME"); home != "" {
		// The second name is the one that the original really looks for.
		for _, name := range []string{"flaat-userinfo.conf", "flaat-userinfoconf"} {
			err := readConfig(filepath.Join(home, ".config", name), set)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return cli.Fail(cli.Usage, fmt.Errorf("read configuration: %w", err), "")
			}
		}
	}
	if c.Config != "" {
		if err := readConfig(within(env, c.Config), set); err != nil {
			return cli.Fail(cli.Usage, fmt.Errorf("read configuration: %w", err), "")
		}
	}
	return c.apply(set)
}

// apply uses the settings that are not on the command line. Names it does not know are other versions', and ignored.
func (c *Cmd) apply(set map[string]string) error {
	for name, to := range map[string]*string{
		"client_id": &c.ClientID, "client_secret": &c.ClientSecret, "client-secret-file": &c.ClientSecretFile,
		"oidc-agent-account": &c.Account, "issuer": &c.Issuer, "audience": &c.Audience, "aud": &c.Audience,
		"token-file": &c.TokenFile, "ca-file": &c.CAFile,
	} {
		if v := set[name]; *to == "" {
			*to = v
		}
	}
	for name, to := range map[string]*bool{
		"skip_tls_verify": &c.SkipTLS, "skip_jwt_verify": &c.SkipJWT, "accesstoken": &c.AccessToken,
		"userinfo": &c.Userinfo, "introspection": &c.Introspection, "all": &c.All, "quiet": &c.Quiet,
		"verbose": &c.Verbose, "machine-readable": &c.Machine, "trust-any": &c.TrustAny,
	} {
		switch v := set[name]; strings.ToLower(v) {
		case "":
		case "true", "yes", "1":
			*to = true
		case "false", "no", "0":
		default:
			return cli.Fail(cli.Usage, fmt.Errorf("configuration: %s is neither true nor false", name), "")
		}
	}
	return nil
}

// readConfig adds the settings of a file: "name = value", "name: value", "name value" or "name" alone, the name with
// its dashes or without, quotes around the value and a comment behind it if need be.
func readConfig(name string, set map[string]string) error {
	b, err := config.ReadFile(name, maxConfig)
	if err != nil {
		return err
	}
	defer clear(b)
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.ContainsAny(line[:1], "#;[") || strings.HasPrefix(line, "---") {
			continue
		}
		key, value, err := setting(line)
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", name, n, err)
		}
		set[key] = value
	}
	return nil
}

func setting(line string) (key, value string, err error) {
	end := strings.IndexAny(line, ":= \t")
	if end < 0 {
		return strings.TrimLeft(line, "-"), "true", nil
	}
	key = strings.TrimLeft(line[:end], "-")
	rest := strings.TrimSpace(line[end:])
	assigned := rest != "" && (rest[0] == '=' || rest[0] == ':')
	if assigned {
		rest = strings.TrimSpace(rest[1:])
	}
	switch {
	case key == "":
		return "", "", errors.New("there is no name")
	case rest == "" && !assigned, !assigned && strings.ContainsAny(rest[:1], "#;"):
		return key, "true", nil
	case rest == "":
		return key, "", nil
	case rest[0] == '"' || rest[0] == '\'':
		value, _, found := strings.Cut(rest[1:], rest[:1])
		if !found {
			return "", "", errors.New("a quote is not closed")
		}
		return key, value, nil
	}
	for _, comment := range []string{" #", " ;", "\t#", "\t;"} {
		rest, _, _ = strings.Cut(rest, comment)
	}
	return key, strings.TrimSpace(rest), nil
}

// secret is the client's, from the file where there is one.
func (c *Cmd) secret(env *cli.Env) (secret.Text, error) {
	if c.ClientSecretFile == "" {
		return secret.FromString(c.ClientSecret), nil
	}
	b, err := config.ReadFile(within(env, c.ClientSecretFile), maxSecret)
	if err != nil {
		return secret.Text{}, cli.Fail(cli.Usage, fmt.Errorf("--client-secret-file: %w", err), "")
	}
	defer clear(b)
	line, _, _ := strings.Cut(string(b), "\n")
	if line = strings.TrimRight(line, "\r"); line == "" {
		return secret.Text{}, cli.Failf(cli.Usage, "--client-secret-file: its first line is empty")
	}
	return secret.FromString(line), nil
}

func within(env *cli.Env, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(env.Dir, path)
}
