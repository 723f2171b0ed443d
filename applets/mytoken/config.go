package mytoken

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/mytoken"
)

// usualServer is the one of a client that nobody has configured.
const usualServer = "https://mytoken.data.kit.edu"

// settings are what config.yaml of the original says, as far as it means something here.
type settings struct {
	file         string // that was read, "" for none
	server       string
	prefix       string // of the names of mytokens
	capabilities []string
	stored       []string // capabilities of a mytoken that is stored
	provider     string
	discovery    bool
	providers    []namedProvider
}

// namedProvider is a short name for an issuer.
type namedProvider struct{ name, issuer, token string }

func (st settings) issuer(name string) (string, bool) {
	for _, p := range st.providers {
		if p.name == name {
			return p.issuer, true
		}
	}
	return "", false
}

// load reads the configuration: the file that is named, else the first one that is there of those of the original.
func (c *Cmd) load(env *cli.Env) (settings, error) {
	st := settings{server: usualServer, discovery: true}
	places := []string{c.Config, env.Getenv("MYTOKEN_CONFIG"), env.Getenv("MYTOKEN_CONF")}
	for _, path := range places {
		if path != "" {
			b, err := config.ReadFile(within(env, path), config.MaxSize)
			if err != nil {
				return st, cli.Fail(cli.NotFound, fmt.Errorf("read the configuration: %w", err), "")
			}
			err = st.read(env, path, b)
			return st, err
		}
	}
	for _, path := range usualConfigs(env) {
		b, err := config.ReadFile(path, config.MaxSize)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return st, cli.Fail(cli.NotFound, fmt.Errorf("read the configuration: %w", err), "")
		}
		err = st.read(env, path, b)
		return st, err
	}
	return st, nil
}

func usualConfigs(env *cli.Env) []string {
	home := env.Getenv("HOME")
	dir := env.Getenv("XDG_CONFIG_HOME")
	if dir == "" && home != "" {
		dir = filepath.Join(home, ".config")
	}
	var out []string
	if dir != "" {
		out = append(out, filepath.Join(dir, "mytoken", "config.yaml"))
	}
	if home != "" {
		out = append(out, filepath.Join(home, ".mytoken", "config.yaml"))
	}
	return out
}

// read takes what this client knows out of a configuration of the original, and says what it does not.
func (st *settings) read(env *cli.Env, name string, b []byte) error {
	st.file = name
	r := config.NewReader(name)
	top := r.Document(b)
	if !top.Present() {
		return r.Err()
	}
	for _, p := range r.Pairs(top) {
		switch p.Name {
		case "instance":
			st.server = r.TextOr(p.At, st.server)
		case "token_name_prefix":
			st.prefix = r.TextOr(p.At, "")
		case "default_token_capabilities":
			st.readCapabilities(r, p.At)
		case "default_provider":
			st.provider = r.TextOr(p.At, "")
		case "use_wlcg_token_discovery":
			st.discovery = r.Bool(p.At, true)
		case "providers":
			st.readProviders(r, p.At)
		case "default_gpg_key", "default_oidc_flow", "tokens_file":
			env.Warn("%s: %s means nothing here: mytokens are stored in the agent's keystore (mytoken import takes over "+
				"those of a tokens.json)", name, p.Name)
		default:
			env.Warn("%s: %s is not known", name, p.Name)
		}
	}
	if err := r.Err(); err != nil {
		return cli.Fail(cli.Usage, err, "")
	}
	return nil
}

// readCapabilities reads a list, or the older form with one list for each destiny of a mytoken.
func (st *settings) readCapabilities(r *config.Reader, at config.At) {
	if at.Kind() != config.Mapping {
		st.capabilities = r.Texts(at)
		return
	}
	f := r.Fields(at, "stored", "returned")
	st.stored, st.capabilities = r.Texts(f["stored"]), r.Texts(f["returned"])
}

// readProviders reads short names for issuers, or the older list of objects.
func (st *settings) readProviders(r *config.Reader, at config.At) {
	if at.Kind() == config.Mapping {
		for _, p := range r.Pairs(at) {
			st.providers = append(st.providers, namedProvider{name: p.Name, issuer: r.TextOr(p.At, "")})
		}
		return
	}
	for _, e := range r.List(at) {
		f := r.Fields(e, "url", "name", "default_token", "default_gpg_key", "default_oidc_flow")
		st.providers = append(st.providers, namedProvider{
			name: r.TextOr(f["name"], ""), issuer: r.TextOr(f["url"], ""), token: r.TextOr(f["default_token"], ""),
		})
	}
}

// printedCapabilities are those of a mytoken that is printed, where none are asked for: it is for one purpose.
func (st settings) printedCapabilities() mytoken.Capabilities {
	if len(st.capabilities) > 0 {
		return st.capabilities
	}
	return mytoken.Capabilities{"AT", "tokeninfo"}
}

// storedCapabilities are those of a mytoken that is stored.
func (st settings) storedCapabilities() mytoken.Capabilities {
	if len(st.stored) > 0 {
		return st.stored
	}
	return mytoken.Capabilities{"AT", "create_mytoken", "tokeninfo"}
}

// tokenPrefix is what names of mytokens begin with.
func (st settings) tokenPrefix() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	switch st.prefix {
	case "", "<hostname>":
		return host
	}
	return strings.ReplaceAll(st.prefix, "<hostname>", host)
}

func within(env *cli.Env, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(env.Dir, path)
}
