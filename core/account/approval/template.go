package approval

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/cli"
)

//go:embed templates/*.template
var builtIn embed.FS

// Bounds of templates and of what is put into them.
const (
	maxTemplate = 64 << 10 // bytes of a file
	maxValue    = 300      // characters of a value
	maxLines    = 64       // lines of a value that is a list
)

// Kinds of mails. The file of each is its name with ".template" behind it. Those of the adapter come first.
const (
	adminDeploy       = "admin.deploy"
	adminDeployUpdate = "admin.deploy.update"
	adminUpdate       = "admin.update"
	adminTest         = "admin.test"
	userDeploy        = "user.deploy"
	userDeployUpdate  = "user.deploy.update"
	userUpdate        = "user.update"
	unknown           = "unknown"
	userAccepted      = "user.accepted"
	userRejected      = "user.rejected"
)

func kinds() []string {
	return []string{
		adminDeploy, adminDeployUpdate, adminUpdate, adminTest, userDeploy, userDeployUpdate, userUpdate, unknown,
		userAccepted, userRejected,
	}
}

// subjectOf is the subject of a mail whose template has none.
func subjectOf(kind string) string {
	switch kind {
	case adminDeploy:
		return "${hostname}: ${unique_id} asks for an account"
	case adminDeployUpdate:
		return "${hostname}: ${unique_id} asks for an account, changed"
	case adminUpdate:
		return "${hostname}: ${unique_id} asks for other groups"
	case adminTest:
		return "${hostname}: test of mails to administrators"
	case userDeploy, userDeployUpdate:
		return "Your account on ${hostname} was asked for"
	case userUpdate:
		return "Your groups on ${hostname}"
	case userAccepted:
		return "Your account on ${hostname} is there"
	case userRejected:
		return "Your account on ${hostname} was refused"
	}
	return "${hostname}: about accounts"
}

// text is a template.
type text struct{ subject, body string }

// loadTemplates reads those of dir, and takes the built-in one where dir has none. Empty files are taken as they are not
// meant.
func loadTemplates(dir fs.FS) (map[string]text, error) {
	all := map[string]text{}
	for _, kind := range kinds() {
		t, err := loadTemplate(dir, kind)
		if err != nil {
			return nil, err
		}
		all[kind] = t
	}
	return all, nil
}

func loadTemplate(dir fs.FS, kind string) (text, error) {
	name := kind + ".template"
	if dir != nil {
		b, err := readTemplate(dir, name)
		switch {
		case err == nil && strings.TrimSpace(b) != "":
			return parseTemplate(kind, b), nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return text{}, fmt.Errorf("%w: %s: %w", ErrTemplate, name, err)
		}
	}
	b, err := builtIn.ReadFile("templates/" + name)
	if err != nil {
		return text{}, fmt.Errorf("%w: %s: %w", ErrTemplate, name, err)
	}
	return parseTemplate(kind, string(b)), nil
}

func readTemplate(dir fs.FS, name string) (string, error) {
	f, err := dir.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxTemplate {
		return "", fmt.Errorf("not a file of at most %d bytes", maxTemplate)
	}
	b, err := fs.ReadFile(dir, name)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", errors.New("not UTF-8")
	}
	return string(b), nil
}

// parseTemplate takes a template apart: a first line that begins with "Subject:" is the subject.
func parseTemplate(kind, s string) text {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	if first, rest, _ := strings.Cut(s, "\n"); len(first) > 8 && strings.EqualFold(first[:8], "subject:") {
		return text{subject: strings.TrimSpace(first[8:]), body: strings.TrimLeft(rest, "\n")}
	}
	return text{subject: subjectOf(kind), body: s}
}

// fill makes a mail of a template. Subject and body have no variables in them that came from a value.
func (t text) fill(values map[string]string) (subject, body string) {
	return oneLine(expand(t.subject, values)), expand(t.body, values)
}

// expand puts values where their names stand, as ${name} or $name; $$ is a dollar. A name that there is no value for
// stays as it stands, so that who reads the mail sees what is wrong with the template. Values are not expanded again.
func expand(s string, values map[string]string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if strings.HasPrefix(after, "$") {
			b.WriteByte('$')
			s = after[1:]
			continue
		}
		name, width := variable(after)
		if value, ok := values[name]; ok && name != "" {
			b.WriteString(value)
			s = after[width:]
			continue
		}
		b.WriteByte('$')
		s = after
	}
}

// variable reads a name behind a dollar, and how many bytes it takes with its braces.
func variable(s string) (name string, width int) {
	inner, braced := strings.CutPrefix(s, "{")
	n := 0
	for n < len(inner) && (letter(inner[n]) || n > 0 && inner[n] >= '0' && inner[n] <= '9') {
		n++
	}
	if !braced {
		return inner[:n], n
	}
	if n == len(inner) || inner[n] != '}' {
		return "", 0
	}
	return inner[:n], n + 2
}

func letter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// oneLine is a value on one line: control characters, and what hides or turns letters around, are shown as what they are.
func oneLine(s string) string {
	s = cli.Printable(strings.Join(strings.Fields(strings.ToValidUTF8(s, "�")), " "))
	if utf8.RuneCountInString(s) > maxValue {
		s = string([]rune(s)[:maxValue]) + "…"
	}
	return s
}

// lines is a value that is a list, one line each.
func lines(all []string) string {
	more := len(all) - maxLines
	if more > 0 {
		all = all[:maxLines]
	}
	out := make([]string, 0, len(all)+1)
	for _, s := range all {
		out = append(out, oneLine(s))
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("... and %d more", more))
	}
	return strings.Join(out, "\n")
}
