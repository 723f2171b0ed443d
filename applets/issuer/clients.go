package issuer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/oidcbox/oidcbox/core/cli"
	engine "github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const (
	maxClientFile = 256 << 10
	maxSecretFile = 4 << 10
)

// clientFile is what --client-file holds. A client replaces the sample of its id; rows of the policy come before the
// samples'.
type clientFile struct {
	Clients  []clientEntry `yaml:"clients"`
	Exchange []ruleEntry   `yaml:"exchange"`

	clients []engine.Client
	rules   []engine.ExchangeRule
}

type clientEntry struct {
	ID           string   `yaml:"id"`
	Name         string   `yaml:"name"`
	SecretFile   string   `yaml:"secret_file"` // relative to the client file; absent, and no key: a public client
	KeyFile      string   `yaml:"key_file"`    // public key (PEM or JWK) of one that authenticates with private_key_jwt
	RedirectURIs []string `yaml:"redirect_uris"`
	Grants       []string `yaml:"grants"`
	Scope        string   `yaml:"scope"`
	Rotation     string   `yaml:"rotation"`
}

type ruleEntry struct {
	Client          string   `yaml:"client"`
	SubjectClient   string   `yaml:"subject_client"`
	SubjectAudience string   `yaml:"subject_audience"`
	Require         string   `yaml:"require"`
	Scope           string   `yaml:"scope"`
	Audiences       []string `yaml:"audiences"`
	Refresh         bool     `yaml:"refresh"`
}

// readClients reads --client-file. Every fault is of the person who wrote it, so all give exit code 2.
func (c *Cmd) readClients(env *cli.Env) (clientFile, error) {
	var f clientFile
	if c.ClientFile == "" {
		return f, nil
	}
	path := inDir(env, c.ClientFile)
	b, err := readBounded(path, maxClientFile)
	if err != nil {
		return f, cli.Failf(cli.Usage, "read --client-file: %w", err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return f, cli.Fail(cli.Usage, fmt.Errorf("read --client-file %s: %w", c.ClientFile, err),
			"a secret goes into a file of its own, named by secret_file")
	}
	for _, e := range f.Clients {
		client, err := e.client(filepath.Dir(path))
		if err != nil {
			return f, cli.Failf(cli.Usage, "client %q in %s: %w", e.ID, c.ClientFile, err)
		}
		f.clients = append(f.clients, client)
	}
	for _, e := range f.Exchange {
		f.rules = append(f.rules, engine.ExchangeRule{
			Client: e.Client, SubjectClient: e.SubjectClient, SubjectAudience: e.SubjectAudience,
			Require: strings.Fields(e.Require), Scopes: strings.Fields(e.Scope), Audiences: e.Audiences,
			Refresh: e.Refresh,
		})
	}
	return f, nil
}

func (e clientEntry) client(dir string) (engine.Client, error) {
	c := engine.Client{
		ID: e.ID, Name: e.Name, RedirectURIs: e.RedirectURIs, Grants: e.Grants, Scope: strings.Fields(e.Scope),
		Rotation: engine.Rotation(e.Rotation),
	}
	if e.KeyFile != "" {
		b, err := readBounded(beside(dir, e.KeyFile), maxSecretFile)
		if err != nil {
			return c, fmt.Errorf("read the key: %w", err)
		}
		key, err := jose.ReadPublicKey(b)
		if err != nil {
			return c, err
		}
		c.Keys = jose.NewKeySet(key)
	}
	if e.SecretFile == "" {
		return c, nil
	}
	b, err := readBounded(beside(dir, e.SecretFile), maxSecretFile)
	if err != nil {
		return c, fmt.Errorf("read the secret: %w", err)
	}
	c.Secret = secret.New(bytes.TrimRight(b, "\r\n"))
	if c.Secret.Empty() {
		return c, errors.New("the secret file is empty")
	}
	return c, nil
}

// beside is a path that a file in dir names.
func beside(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func (f clientFile) addTo(o *engine.Options) {
	for _, c := range f.clients {
		o.Clients = slices.DeleteFunc(o.Clients, func(s engine.Client) bool { return s.ID == c.ID })
	}
	o.Clients = append(o.Clients, f.clients...)
	o.Policy = append(f.rules, o.Policy...)
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return b, err
}
