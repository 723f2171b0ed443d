package login

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
)

const pubclientFile = "pubclients.config"

// PublicClient is a line of pubclients.config.
type PublicClient struct {
	Issuer string
	Client Client
}

// LoadPublicClients reads pubclients.config of each directory, the person's first. The first entry for an issuer is the
// one that counts; see FindPublicClient. Lines that make no sense are named in the error, which wraps ErrIssuers; the
// others are returned beside it.
func LoadPublicClients(dirs ...string) ([]PublicClient, error) {
	var (
		all    []PublicClient
		faults []error
	)
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		path := filepath.Join(dir, pubclientFile)
		b, err := readPlain(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var list []PublicClient
		if err == nil {
			list, err = ParsePublicClients(b)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
		}
		all = append(all, list...)
	}
	if err := errors.Join(faults...); err != nil {
		return all, fmt.Errorf("%w: %w", ErrIssuers, err)
	}
	return all, nil
}

// ParsePublicClients reads lines client_id[:client_secret]@issuer[@scopes], where scopes are separated by blanks and #
// begins a comment line. The errors name lines, never their content.
func ParsePublicClients(b []byte) ([]PublicClient, error) {
	if len(b) > MaxFile {
		return nil, ErrTooLarge
	}
	var (
		list   []PublicClient
		faults []error
	)
	for i, line := range strings.Split(string(b), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		who, rest, _ := strings.Cut(line, "@")
		issuer, scopes, _ := strings.Cut(rest, "@")
		id, pass, _ := strings.Cut(who, ":")
		issuer = strings.TrimSpace(issuer)
		if id == "" || !plausible(issuer) {
			faults = append(faults, fmt.Errorf("line %d is not client@issuer", i+1))
			continue
		}
		list = append(list, PublicClient{Issuer: issuer, Client: Client{
			ID: id, Secret: secret.FromString(pass), Scope: strings.Join(strings.Fields(scopes), " "),
		}})
	}
	return list, errors.Join(faults...)
}

// FindPublicClient returns the public client for an issuer: the one that its entry in the files of issuers names, else
// the first line for it. ok is false when there is none.
func FindPublicClient(issuer string, issuers []Issuer, lines []PublicClient) (c Client, ok bool) {
	for _, i := range issuers {
		if SameIssuer(i.URL, issuer) && i.PubClient != nil {
			return *i.PubClient, true
		}
	}
	for _, l := range lines {
		if SameIssuer(l.Issuer, issuer) {
			return l.Client, true
		}
	}
	return Client{}, false
}
