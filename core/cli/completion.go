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

// completion is what may follow one role.
type completion struct {
	names    []string  // "token", "oidcbox-token", "oidc-token"
	commands []command // the role itself first, then its sub-commands
	values   []value
}

// command is a role or a sub-command of it.
type command struct {
	path   string   // "self", "self keystore slot"
	words  []string // options and sub-commands
	logins bool     // operands are names of logins
}

// value is an option of which only some values are known.
type value struct {
	path, option string
	words        []string
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
		c.collect(p.Model.Node, r.Name, nil)
		out = append(out, c)
	}
	return out, nil
}

// collect adds the words of a node and of everything below it. inherited are the options of the nodes above.
func (c *completion) collect(n *kong.Node, path string, inherited []string) {
	cmd := command{path: path, words: slices.Clone(inherited)}
	for _, f := range n.Flags {
		if f.Hidden {
			continue
		}
		cmd.words = append(cmd.words, "--"+f.Name)
		if enum := enumWords(f.Value); len(enum) > 0 {
			c.values = append(c.values, value{path, "--" + f.Name, enum})
			if f.Short != 0 {
				c.values = append(c.values, value{path, "-" + string(f.Short), enum})
			}
		}
	}
	options := slices.Clone(cmd.words)
	for _, pos := range n.Positional {
		cmd.logins = cmd.logins || pos.Tag.Get("complete") == "logins"
		cmd.words = append(append(cmd.words, enumWords(pos)...), listedWords(pos)...)
	}
	at := len(c.commands)
	c.commands = append(c.commands, cmd)
	for _, child := range n.Children {
		if !child.Hidden {
			c.commands[at].words = append(c.commands[at].words, child.Name)
			c.collect(child, path+" "+child.Name, options)
		}
	}
	slices.Sort(c.commands[at].words)
	c.commands[at].words = slices.Compact(c.commands[at].words)
}

// enumWords are the values a grammar lists; the empty one is what an option has when it is not given.
func enumWords(v *kong.Value) []string {
	return slices.DeleteFunc(v.EnumSlice(), func(s string) bool { return s == "" })
}

// listedWords are those of a tag words:"a,b" of an operand: like an enum, but what is none of them is for the role to judge.
func listedWords(v *kong.Value) []string {
	if !v.Tag.Has("words") {
		return nil
	}
	return strings.Split(v.Tag.Get("words"), ",")
}

// bashCompletion writes one function. It goes down the sub-commands that were typed, and offers what may follow.
func bashCompletion(w io.Writer, program string, cs []completion) error {
	var b strings.Builder
	fmt.Fprintf(&b, "_%s() {\n  local cur=${COMP_WORDS[COMP_CWORD]} prev=\"\" cmd=${COMP_WORDS[0]##*/} i=1 words=\"\"\n", program)
	fmt.Fprintf(&b, "  if [ \"$cmd\" = %s ]; then\n    cmd=${COMP_WORDS[1]}; i=2\n", program)
	fmt.Fprintf(&b, "    if [ \"$COMP_CWORD\" -eq 1 ]; then COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return; fi\n  fi\n",
		strings.Join(firstNames(cs), " "))
	b.WriteString("  [ \"$COMP_CWORD\" -ge \"$i\" ] || return\n")
	bashPath(&b, cs)
	bashWords(&b, program, cs)
	b.WriteString("  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n")
	fmt.Fprintf(&b, "complete -o default -F _%s %s %s\n", program, program, strings.Join(otherNames(cs), " "))
	_, err := io.WriteString(w, b.String())
	return err
}

// bashPath finds the sub-command that was typed, and the word before the one to complete.
func bashPath(b *strings.Builder, cs []completion) {
	b.WriteString("  case \"$cmd\" in\n")
	for _, c := range cs {
		fmt.Fprintf(b, "    %s) cmd=%s ;;\n", strings.Join(c.names, "|"), c.names[0])
	}
	b.WriteString("  esac\n  while [ \"$i\" -lt \"$COMP_CWORD\" ]; do\n    prev=${COMP_WORDS[i]}\n    case \"$cmd $prev\" in\n")
	for _, c := range cs {
		for _, sub := range c.commands[1:] {
			fmt.Fprintf(b, "      %q) cmd=%q ;;\n", sub.path, sub.path)
		}
	}
	b.WriteString("    esac\n    i=$((i + 1))\n  done\n")
}

// bashWords chooses the words: the values of the option before, else what the sub-command takes.
func bashWords(b *strings.Builder, program string, cs []completion) {
	b.WriteString("  case \"$cmd $prev\" in\n")
	for _, c := range cs {
		for _, v := range c.values {
			fmt.Fprintf(b, "    %q) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")); return ;;\n",
				v.path+" "+v.option, strings.Join(v.words, " "))
		}
	}
	b.WriteString("  esac\n  case \"$cmd\" in\n")
	for _, c := range cs {
		for _, cmd := range c.commands {
			fmt.Fprintf(b, "    %q) words=\"%s\"", cmd.path, strings.Join(cmd.words, " "))
			if cmd.logins {
				fmt.Fprintf(b, "; case \"$cur\" in -*) ;; *) words=\"$(%s self complete-values logins 2>/dev/null)\" ;; esac", program)
			}
			b.WriteString(" ;;\n")
		}
	}
	b.WriteString("  esac\n")
}

// fishCompletion offers the words of a role whatever was typed after it.
func fishCompletion(w io.Writer, program string, cs []completion) error {
	var b strings.Builder
	fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -a '%s'\n", program, strings.Join(firstNames(cs), " "))
	for _, c := range cs {
		line := func(cmd, cond string) {
			fmt.Fprintf(&b, "complete -c %s %s -a '%s'\n", cmd, cond, strings.Join(c.allWords(), " "))
			if c.commands[0].logins {
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

// allWords are those of a role and of everything below it.
func (c *completion) allWords() []string {
	var out []string
	for _, cmd := range c.commands {
		out = append(out, cmd.words...)
	}
	slices.Sort(out)
	return slices.Compact(out)
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
