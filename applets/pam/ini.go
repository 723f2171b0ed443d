package pam

import (
	"errors"
	"fmt"
	"strings"
)

// errIni: the file of config= cannot be read as one.
var errIni = errors.New("is no configuration of the PAM module")

// defaultLocal is the file of local mode where the ini file names none.
const defaultLocal = "/etc/oidcbox/pam.yaml"

// readIni takes the options of [user_verification]: local and verify_endpoint, as pam-ssh-oidc has them, ca_file and
// local_file of our own.
func (h *helper) readIni(path string) error {
	b, err := readOwned(path)
	if err != nil {
		return h.badIni(err)
	}
	values, err := parseIni(string(b))
	if err != nil {
		return h.badIni(fmt.Errorf("%s %w: %w", path, errIni, err))
	}
	if err := h.apply(values); err != nil {
		return h.badIni(fmt.Errorf("%s %w: %w", path, errIni, err))
	}
	return nil
}

func (h *helper) badIni(err error) error {
	h.write("-", sevErr, "refused", err.Error())
	return err
}

// iniSection is the only section that is read.
const iniSection = "user_verification"

// parseIni returns the keys of that section. Others are passed over, as pam-ssh-oidc does.
func parseIni(text string) (map[string]string, error) {
	values := map[string]string{}
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			name, rest, ok := strings.Cut(line[1:], "]")
			if !ok || strings.TrimSpace(rest) != "" && !strings.ContainsAny(rest[:1], " #;") {
				return nil, fmt.Errorf("a section is not closed")
			}
			section = strings.TrimSpace(name)
		case section == iniSection:
			name, value, ok := strings.Cut(line, "=")
			if !ok {
				return nil, fmt.Errorf("a line without =")
			}
			name = strings.ToLower(strings.TrimSpace(name))
			if _, twice := values[name]; twice {
				return nil, fmt.Errorf("%s is there twice", name)
			}
			values[name] = unquote(strings.TrimSpace(value))
		}
	}
	return values, nil
}

// unquote takes away a comment behind a value, and quotes around it.
func unquote(s string) string {
	for _, mark := range []string{" #", " ;", "\t#", "\t;"} {
		s, _, _ = strings.Cut(s, mark)
	}
	s = strings.TrimSpace(s)
	if len(s) >= 2 && s[0] == s[len(s)-1] && (s[0] == '"' || s[0] == '\'') {
		s = s[1 : len(s)-1]
	}
	return s
}

// apply puts the values of an ini file into the options.
func (o *options) apply(values map[string]string) error {
	for name, value := range values {
		switch name {
		case "local", "verify_endpoint", "ca_file", "local_file":
		default:
			return fmt.Errorf("there is no key %q", cut(name, 40))
		}
		if value == "" && name != "local" {
			return fmt.Errorf("%s has no value", name)
		}
	}
	local := false
	switch strings.ToLower(values["local"]) {
	case "true", "yes", "on", "1":
		local = true
	case "", "false", "no", "off", "0":
	default:
		return fmt.Errorf("local is neither true nor false")
	}
	if ca := values["ca_file"]; ca != "" {
		o.CAFile = ca
	}
	switch endpoint := values["verify_endpoint"]; {
	case local:
		o.VerifyEndpoint, o.Local = "", defaultLocal
		if file := values["local_file"]; file != "" {
			o.Local = file
		}
	case strings.HasPrefix(endpoint, "unix:"):
		o.Socket = strings.TrimPrefix(strings.TrimPrefix(endpoint, "unix:"), "//")
	case endpoint != "":
		o.VerifyEndpoint = endpoint
	}
	return o.check()
}
