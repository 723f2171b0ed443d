package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Shells lists the shells Completion knows.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// Completion writes a static completion script for program and for every other name of its roles. Words that depend on
// the machine (names of logins) are asked for at completion time with "program self complete-values KIND".
func Completion(w io.Writer, shell, program string, roles []Role) error {
	words, err := completionWords(program, roles)
	if err != nil {
		return err
	}
	switch shell {
	case "bash":
		return bashCompletion(w, program, words)
	case "zsh":
		_, _ = io.WriteString(w, "autoload -Uz bashcompinit && bashcompinit\n")
		return bashCompletion(w, program, words)
	case "fish":
		return fishCompletion(w, program, words)
	}
	return Fail(Usage, fmt.Errorf("unknown shell %q", shell), "one of "+strings.Join(Shells(), ", "))
}

// completion is what may follow one command.
type completion struct {
	names  []string // "token", "oidc-token"
	words  []string // options and sub-commands
	logins bool     // operands are names of logins
}

func completionWords(program string, roles []Role) ([]completion, error) {
	var out []completion
	for _, r := range roles {
		if r.Hidden {
			continue
		}
		p, err := newParser(Grammar{Name: program + " " + r.Name}, r.New(), false)
		if err != nil {
			return nil, fmt.Errorf("read grammar of %s: %w", r.Name, err)
		}
		c := completion{names: append([]string{r.Name, program + "-" + r.Name}, r.Also...)}
		collectWords(&c, p.Model.Node)
		slices.Sort(c.words)
		c.words = slices.Compact(c.words)
		out = append(out, c)
	}
	return out, nil
}

func collectWords(c *completion, n *kong.Node) {
	for _, f := range n.Flags {
		if !f.Hidden {
			c.words = append(c.words, "--"+f.Name)
		}
	}
	for _, pos := range n.Positional {
		c.logins = c.logins || pos.Tag.Get("complete") == "logins"
	}
	for _, child := range n.Children {
		if !child.Hidden {
			c.words = append(c.words, child.Name)
			collectWords(c, child)
		}
	}
}

func bashCompletion(w io.Writer, program string, cs []completion) error {
	var b strings.Builder
	fmt.Fprintf(&b, "_%s() {\n  local cur=${COMP_WORDS[COMP_CWORD]} cmd=${COMP_WORDS[0]##*/} first=1 words=\"\"\n", program)
	fmt.Fprintf(&b, "  if [ \"$cmd\" = %s ]; then\n    cmd=${COMP_WORDS[1]}; first=2\n", program)
	fmt.Fprintf(&b, "    if [ \"$COMP_CWORD\" -eq 1 ]; then COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return; fi\n  fi\n",
		strings.Join(firstNames(cs), " "))
	b.WriteString("  case \"$cmd\" in\n")
	for _, c := range cs {
		fmt.Fprintf(&b, "    %s) words=\"%s\"", strings.Join(c.names, "|"), strings.Join(c.words, " "))
		if c.logins {
			fmt.Fprintf(&b, "; case \"$cur\" in -*) ;; *) words=\"$(%s self complete-values logins 2>/dev/null)\" ;; esac", program)
		}
		b.WriteString(" ;;\n")
	}
	b.WriteString("  esac\n  [ \"$COMP_CWORD\" -ge \"$first\" ] && COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n")
	fmt.Fprintf(&b, "complete -o default -F _%s %s %s\n", program, program, strings.Join(otherNames(cs), " "))
	_, err := io.WriteString(w, b.String())
	return err
}

func fishCompletion(w io.Writer, program string, cs []completion) error {
	var b strings.Builder
	fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -a '%s'\n", program, strings.Join(firstNames(cs), " "))
	for _, c := range cs {
		line := func(cmd, cond string) {
			fmt.Fprintf(&b, "complete -c %s %s -a '%s'\n", cmd, cond, strings.Join(c.words, " "))
			if c.logins {
				fmt.Fprintf(&b, "complete -c %s %s -f -a '(%s self complete-values logins 2>/dev/null)'\n", cmd, cond, program)
			}
		}
		line(program, "-n '__fish_seen_subcommand_from "+c.names[0]+"'")
		for _, n := range c.names[1:] {
			line(n, "")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func firstNames(cs []completion) []string {
	var out []string
	for _, c := range cs {
		out = append(out, c.names[0])
	}
	return out
}

func otherNames(cs []completion) []string {
	var out []string
	for _, c := range cs {
		out = append(out, c.names[1:]...)
	}
	return out
}
