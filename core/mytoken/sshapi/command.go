package sshapi

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// The actions whose answer is printed bare.
const (
	actionAT = mytoken.SSHAccessToken
	actionMT = mytoken.SSHMytoken
)

// errUsage is returned for a command that is none.
var errUsage = errors.New("invalid command")

const usage = "usage: ssh HOST ACTION [application/json|application/json;base64 DATA]\n" +
	"actions: AT, MT, introspect, history, list-subtokens, list-all-mytokens, revoke, and those of\n" +
	"settings, tags, notifications and calendars as the manual of mytoken-server has them"

// Bounds of the JSON of a command.
const (
	maxDepth   = 16
	maxMembers = 2000
)

// command is a command that was read.
type command struct {
	action string
	data   jose.Object
}

// parse reads the words of a command line. There is no quoting: JSON with blanks in it is one word all the same, because
// everything behind the second word is the third. The error wraps errUsage.
func parse(line string, most int) (command, error) {
	if len(line) > most {
		return command{}, fmt.Errorf("%w: it is longer than %d bytes", errUsage, most)
	}
	if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return r == 0 || r == 0x7f }) {
		return command{}, fmt.Errorf("%w: characters that no command has", errUsage)
	}
	action, rest := word(line)
	kind, data := word(rest)
	c := command{action: action}
	switch {
	case action == "":
		return command{}, fmt.Errorf("%w: it is empty", errUsage)
	case kind == "":
		return c, nil
	case data == "":
		return command{}, fmt.Errorf("%w: it has neither one nor three words", errUsage)
	}
	b, err := decode(kind, data)
	if err != nil {
		return command{}, err
	}
	defer clear(b)
	o, err := jose.StrictObject(b, maxDepth, maxMembers)
	if err != nil {
		return command{}, fmt.Errorf("%w: the data are no JSON object", errUsage)
	}
	c.data = o.WithoutNull()
	return c, nil
}

// word cuts the first word off.
func word(s string) (first, rest string) {
	s = strings.TrimFunc(s, unicode.IsSpace)
	i := strings.IndexFunc(s, unicode.IsSpace)
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimFunc(s[i:], unicode.IsSpace)
}

// decode reads the third word by the second one. One pair of quotes around JSON is what is left of a shell's.
func decode(kind, data string) ([]byte, error) {
	switch strings.ToLower(kind) {
	case mytoken.SSHJSON:
		if n := len(data); n >= 2 && data[0] == '\'' && data[n-1] == '\'' {
			data = data[1 : n-1]
		}
		return []byte(data), nil
	case mytoken.SSHBase64:
		b, err := base64.StdEncoding.Strict().DecodeString(data)
		if err != nil || strings.ContainsAny(data, "\r\n") {
			return nil, fmt.Errorf("%w: the data are no base64", errUsage)
		}
		return b, nil
	}
	return nil, fmt.Errorf("%w: unknown mime type; %s and %s are known", errUsage, mytoken.SSHJSON, mytoken.SSHBase64)
}

// plain is a text on one line without anything that a terminal would obey.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
