package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

const (
	parameterFile = "custom_parameters.config"
	maxParameters = 200
)

// Parameter is one that a person adds to requests to a provider: an entry of custom_parameters.config.
type Parameter struct {
	Name     string
	value    string
	issuers  []string
	accounts []string
	requests []string
}

// For reports whether the parameter goes into a request of this kind, for this issuer or this account.
func (p Parameter) For(request, issuer, account string) bool {
	if !slices.Contains(p.requests, request) {
		return false
	}
	same := func(i string) bool { return SameIssuer(i, issuer) }
	return slices.ContainsFunc(p.issuers, same) || account != "" && slices.Contains(p.accounts, account)
}

// Value is what to send: as it is written, the value of a variable ("$NAME"), or the first line of a file ("/path"). The
// error names the parameter and the place, never the value.
func (p Parameter) Value(getenv func(string) string) (string, error) {
	switch {
	case strings.HasPrefix(p.value, "$"):
		if v := getenv(p.value[1:]); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("parameter %s: the variable %s is empty", p.Name, p.value)
	case strings.HasPrefix(p.value, "/"):
		t, err := PasswordFile(p.value)
		if err != nil {
			return "", fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		defer t.Wipe()
		return t.Expose(), nil
	}
	return p.value, nil
}

// loadParameters reads custom_parameters.config of each directory, the person's first. Entries that make no sense are
// left out and named in the error, which wraps ErrIssuers.
func loadParameters(dirs ...string) ([]Parameter, error) {
	var (
		all    []Parameter
		faults []error
	)
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		path := filepath.Join(dir, parameterFile)
		b, err := readPlain(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var list []Parameter
		if err == nil {
			list, err = parseParameters(b)
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

func parseParameters(b []byte) ([]Parameter, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil || len(raw) > maxParameters {
		return nil, fmt.Errorf("is no JSON array of at most %d entries", maxParameters)
	}
	var (
		list   []Parameter
		faults []error
	)
	for i, r := range raw {
		p, err := parseParameter(r)
		if err != nil {
			faults = append(faults, fmt.Errorf("entry %d: %w", i+1, err))
			continue
		}
		list = append(list, p)
	}
	return list, errors.Join(faults...)
}

// parseParameter wants to hear for whom and where: a parameter for everybody is more likely a slip.
func parseParameter(raw json.RawMessage) (Parameter, error) {
	r, err := newReader(raw)
	if err != nil {
		return Parameter{}, err
	}
	p := Parameter{
		Name: r.text("parameter"), value: r.text("value"),
		issuers: r.texts("for_issuer"), accounts: r.texts("for_account"), requests: r.texts("request"),
	}
	switch {
	case r.err != nil:
		return p, r.err
	case p.Name == "" || p.value == "":
		return p, errors.New("it has no parameter or no value")
	case len(p.issuers) == 0 && len(p.accounts) == 0:
		return p, errors.New("it names neither for_issuer nor for_account")
	case len(p.requests) == 0:
		return p, errors.New("it names no request")
	}
	return p, nil
}
