package cli

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// ManPage is what a man page is made of.
type ManPage struct {
	Program string // "oidcbox"
	Version string
	Role    Role
	Prose   string // Markdown: paragraphs, "## Heading", "* item", fenced code, `word`
}

// Man writes the page in roff for man(7). Options come from the role's grammar, so they cannot drift from the code.
func Man(w io.Writer, p ManPage) error {
	g := Grammar{Name: p.Program + " " + p.Role.Name, Summary: p.Role.Sum}
	parser, err := newParser(g, p.Role.New(), false)
	if err != nil {
		return fmt.Errorf("read grammar of %s: %w", p.Role.Name, err)
	}
	b := bufio.NewWriter(w)
	title := strings.ToUpper(p.Program + "-" + p.Role.Name)
	fmt.Fprintf(b, ".TH %s 1 \"\" %q %q\n", roff(title), p.Program+" "+p.Version, p.Program+" manual")
	fmt.Fprintf(b, ".SH NAME\n%s \\- %s\n", roff(p.Program+"-"+p.Role.Name), roff(p.Role.Sum))
	fmt.Fprintf(b, ".SH SYNOPSIS\n.B %s\n%s\n", roff(g.Name), roff(strings.TrimSpace(strings.TrimPrefix(parser.Model.Summary(), g.Name))))
	if len(p.Role.Also) > 0 {
		fmt.Fprintf(b, ".PP\nAlso called as: %s\n", roff(strings.Join(p.Role.Also, ", ")))
	}
	intro, rest := splitProse(p.Prose)
	if intro != "" {
		fmt.Fprintf(b, ".SH DESCRIPTION\n")
		manProse(b, intro)
	}
	fmt.Fprintf(b, ".SH OPTIONS\n")
	manFlags(b, parser.Model.Node)
	for _, sub := range parser.Model.Leaves(true) {
		fmt.Fprintf(b, ".SS %s\n%s\n", roff(sub.Summary()), roff(sub.Help))
		manFlags(b, sub)
		for group := sub.Parent; group != nil && group != parser.Model.Node; group = group.Parent {
			manFlags(b, group) // options of the commands below it
		}
	}
	manProse(b, rest)
	return b.Flush()
}

func manFlags(w io.Writer, n *kong.Node) {
	for _, p := range n.Positional {
		fmt.Fprintf(w, ".TP\n.I %s\n%s\n", roff(p.Summary()), roff(p.Help))
	}
	for _, f := range n.Flags {
		if f.Hidden {
			continue
		}
		name := "--" + f.Name
		if f.Short != 0 {
			name = fmt.Sprintf("-%c, %s", f.Short, name)
		}
		switch _, optional := optionalValue(f); {
		case optional:
			name += "[=" + f.FormatPlaceHolder() + "]"
		case needsValue(f):
			name += "=" + f.FormatPlaceHolder()
		}
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(name), roff(f.Help))
	}
}

// splitProse parts the text before the first heading from the rest.
func splitProse(md string) (intro, rest string) {
	if strings.HasPrefix(md, "## ") {
		return "", md
	}
	i := strings.Index(md, "\n## ")
	if i < 0 {
		return md, ""
	}
	return md[:i], md[i+1:]
}

func manProse(w io.Writer, md string) {
	code := false
	for line := range strings.Lines(md) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			code = !code
			fmt.Fprintln(w, map[bool]string{true: ".PP\n.RS\n.nf", false: ".fi\n.RE"}[code])
		case code:
			fmt.Fprintln(w, roff(line))
		case strings.HasPrefix(line, "## "):
			fmt.Fprintf(w, ".SH %s\n", roff(strings.ToUpper(line[3:])))
		case strings.HasPrefix(line, "* "):
			fmt.Fprintf(w, ".IP \\(bu 2\n%s\n", inlineCode(line[2:]))
		case strings.TrimSpace(line) == "":
			fmt.Fprintln(w, ".PP")
		default:
			fmt.Fprintln(w, inlineCode(strings.TrimLeft(line, " ")))
		}
	}
}

// inlineCode sets `words` in bold.
func inlineCode(s string) string {
	parts := strings.Split(s, "`")
	var b strings.Builder
	for i, p := range parts {
		if i%2 == 1 && i < len(parts)-1 {
			b.WriteString(`\fB` + roffInline(p) + `\fR`)
			continue
		}
		b.WriteString(roffInline(p))
	}
	return guardDot(b.String())
}

// roff makes a line of text safe: a leading dot or quote would be a request, a backslash an escape, and a plain dash a
// hyphen that cannot be copied to a shell.
func roff(s string) string { return guardDot(roffInline(s)) }

func roffInline(s string) string { return strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s) }

func guardDot(s string) string {
	if slices.Contains([]string{".", "'"}, s[:min(1, len(s))]) {
		return `\&` + s
	}
	return s
}
