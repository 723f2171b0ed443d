package sshlogin

import (
	"fmt"
	"strings"
)

// Program is one of OpenSSH's clients, as far as its command line goes.
type Program struct {
	Name   string
	values string // letters of the options that take a value
	// command: what follows the host is a remote command, of which nothing is an option; options may stand between them.
	command bool
}

// SSH, SCP and SFTP are the three clients, with the options of all releases from 7.4 on.
func SSH() Program { return Program{Name: "ssh", values: "BbcDEeFIiJLlmOoPpQRSWw", command: true} }

// SCP is scp(1).
func SCP() Program { return Program{Name: "scp", values: "cDFiJloPSX"} }

// SFTP is sftp(1).
func SFTP() Program { return Program{Name: "sftp", values: "BbcDFiJloPRSsX"} }

// Line is a command line, taken apart. Nothing is taken away: Before, Operands and After together are all of it.
type Line struct {
	Before   []string // options and their values, up to the first operand
	Dashes   bool     // "--" stood in front of the operands
	Operands []string // ssh: the host alone
	After    []string // ssh: options behind the host, and the remote command
}

// Split takes a command line apart. ssh's options of which it only tells something (-V, -Q) may leave it without a
// host: Operands are empty then.
func (p Program) Split(words []string) (Line, error) {
	var l Line
	i := 0
	for i < len(words) && isOption(words[i]) {
		if words[i] == "--" {
			l.Dashes = true
			i++
			break
		}
		n := p.width(words[i])
		if i+n > len(words) {
			return Line{}, fmt.Errorf("%w: option %s of %s requires an argument", ErrWords, words[i], p.Name)
		}
		l.Before = append(l.Before, words[i:i+n]...)
		i += n
	}
	l.Operands = words[i:]
	if p.command && len(l.Operands) > 1 {
		l.Operands, l.After = l.Operands[:1], l.Operands[1:]
	}
	return l, nil
}

// Options are all options of the line, for another run of ssh that only tells what they mean. Those behind the host are
// among them.
func (p Program) Options(l Line) []string {
	out := append([]string(nil), l.Before...)
	for i := 0; p.command && i < len(l.After) && isOption(l.After[i]) && l.After[i] != "--"; {
		n := min(p.width(l.After[i]), len(l.After)-i)
		out = append(out, l.After[i:i+n]...)
		i += n
	}
	return out
}

// Has reports whether a letter is among the options of a list as Options gives it.
func (p Program) Has(options []string, letters string) bool {
	for i := 0; i < len(options); i += p.width(options[i]) {
		for _, c := range options[i][1:] {
			if strings.ContainsRune(letters, c) {
				return true
			}
			if strings.ContainsRune(p.values, c) {
				break
			}
		}
	}
	return false
}

// Setting is one option with its value.
type Setting struct {
	Letter rune
	Value  string
}

// Values are the options of a list that have one, in their order.
func (p Program) Values(options []string) []Setting {
	var out []Setting
	for i := 0; i < len(options); {
		word, n := options[i], p.width(options[i])
		for at, c := range word {
			if at == 0 || !strings.ContainsRune(p.values, c) {
				continue
			}
			value := word[at+1:]
			if n == 2 && i+1 < len(options) {
				value = options[i+1]
			}
			out = append(out, Setting{c, value})
			break
		}
		i += n
	}
	return out
}

// Value is the value of the first option of that letter.
func (p Program) Value(options []string, letter rune) string {
	for _, o := range p.Values(options) {
		if o.Letter == letter {
			return o.Value
		}
	}
	return ""
}

// width is how many words an option has: two when its value is the next one.
func (p Program) width(option string) int {
	letters := option[1:]
	for i, c := range letters {
		if strings.ContainsRune(p.values, c) {
			if i == len(letters)-1 {
				return 2
			}
			return 1
		}
	}
	return 1
}

func isOption(word string) bool { return len(word) > 1 && word[0] == '-' }

// Partition takes the options that are not the program's (all with two dashes, of which it has none) out of a command
// line: they may stand in front of the host and behind it, and never behind the first word of the remote command. value
// reports whether an option of that name takes the next word, when none is attached. rest is the program's line.
func (p Program) Partition(words []string, value func(name string) bool) (own, rest []string) {
	operands := 0
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case word == "--", p.command && operands > 1:
			return own, append(rest, words[i:]...)
		case strings.HasPrefix(word, "--"):
			name, _, attached := strings.Cut(word[2:], "=")
			if !attached && value(name) && i+1 < len(words) {
				i++
				word += "=" + words[i]
			}
			own = append(own, word)
		case isOption(word):
			n := min(p.width(word), len(words)-i)
			rest = append(rest, words[i:i+n]...)
			i += n - 1
		default:
			operands++
			rest = append(rest, word)
		}
	}
	return own, rest
}

// Place is what an operand names: a host, or a file of this machine when Host is "".
type Place struct {
	User, Host, Port string
	Path             string // with URI: as it stood there
	URI              bool
}

// ParseHost reads the destination of ssh or sftp: [user@]host, or a URI of the scheme.
func ParseHost(word, scheme string) (Place, error) {
	p := Place{Host: word}
	if rest, ok := cutScheme(word, scheme); ok {
		p = uri(rest)
	} else {
		if at := strings.LastIndexByte(word, '@'); at >= 0 {
			p.User, p.Host = word[:at], word[at+1:]
		}
		if scheme == "sftp" {
			p.Host, p.Path = cutPath(p.Host)
		}
	}
	return p, p.check(word)
}

// ParseOperand reads an operand of scp: a file here, host:file, or scp://host/file.
func ParseOperand(word string) (Place, error) {
	if rest, ok := cutScheme(word, "scp"); ok {
		p := uri(rest)
		return p, p.check(word)
	}
	colon := remoteColon(word)
	if colon < 0 {
		return Place{Path: word}, nil
	}
	p := Place{Host: word[:colon], Path: word[colon+1:]}
	if at := strings.LastIndexByte(p.Host, '@'); at >= 0 {
		p.User, p.Host = p.Host[:at], p.Host[at+1:]
	}
	p.Host = strings.TrimSuffix(strings.TrimPrefix(p.Host, "["), "]")
	return p, p.check(word)
}

// As is the operand of scp with the user in it.
func (p Place) As(user string) string {
	switch {
	case p.URI && p.Port != "":
		return "scp://" + user + "@" + literal(p.Host) + ":" + p.Port + "/" + p.Path
	case p.URI:
		return "scp://" + user + "@" + literal(p.Host) + "/" + p.Path
	}
	return user + "@" + literal(p.Host) + ":" + p.Path
}

func (p Place) check(word string) error {
	if p.Host == "" || p.Host[0] == '-' || strings.ContainsAny(p.Host, " \t\r\n\x00'\"`$\\;&<>|(){}") {
		return fmt.Errorf("%w: %q names no host", ErrWords, word)
	}
	return nil
}

func cutScheme(word, scheme string) (string, bool) {
	if n := len(scheme) + 3; len(word) >= n && strings.EqualFold(word[:n], scheme+"://") {
		return word[n:], true
	}
	return "", false
}

// uri reads [user[;parameters]@]host[:port][/path].
func uri(rest string) Place {
	p := Place{URI: true}
	rest, p.Path, _ = strings.Cut(rest, "/")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		p.User, _, _ = strings.Cut(rest[:at], ";")
		rest = rest[at+1:]
	}
	if end := strings.IndexByte(rest, ']'); strings.HasPrefix(rest, "[") && end > 0 {
		p.Host, rest = rest[1:end], rest[end+1:]
		p.Port = strings.TrimPrefix(rest, ":")
		return p
	}
	p.Host, p.Port, _ = strings.Cut(rest, ":")
	return p
}

// cutPath splits sftp's host:path.
func cutPath(s string) (host, path string) {
	if end := strings.IndexByte(s, ']'); strings.HasPrefix(s, "[") && end > 0 {
		return s[1:end], strings.TrimPrefix(s[end+1:], ":")
	}
	host, path, _ = strings.Cut(s, ":")
	return host, path
}

// remoteColon finds the colon that makes an operand of scp remote: none in front of a slash, one behind brackets.
func remoteColon(s string) int {
	if s == "" || s[0] == ':' {
		return -1
	}
	brackets := s[0] == '['
	for i := range len(s) {
		switch s[i] {
		case '@':
			brackets = brackets || i+1 < len(s) && s[i+1] == '['
		case ']':
			if brackets && i+1 < len(s) && s[i+1] == ':' {
				return i + 1
			}
		case ':':
			if !brackets {
				return i
			}
		case '/':
			return -1
		}
	}
	return -1
}
