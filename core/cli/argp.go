package cli

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// ArgpRewrite turns GNU argp habits into what kong understands, before it parses: unambiguous prefixes of long options
// become whole ("--ti=5" is "--time=5"), clusters of short ones are taken apart ("-ft5"), a value may begin with a
// dash, and options may follow operands (kong knows that already) up to "--". Options with an optional value take it
// only when it is attached ("-iVAR", "--issuer=VAR"): a field tagged optvalue:"X" gets X when it stands alone. "-?" is
// help.
//
// It changes only options; values and operands are copied as they are. Where operands are another command's words (a
// positional with passthrough), nothing after the first of them is looked at.
func ArgpRewrite(model *kong.Application, args []string) ([]string, error) {
	var flags []*kong.Flag
	for _, group := range model.AllFlags(false) {
		flags = append(flags, group...)
	}
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" || !isOption(arg) && passesThrough(model) {
			return append(out, args[i:]...), nil
		}
		words, takesNext, err := rewriteOne(flags, arg)
		if err != nil {
			return nil, err
		}
		if takesNext && i+1 < len(args) {
			// Attached, a value that looks like an option is still a value.
			i++
			words[len(words)-1] += "=" + args[i]
		}
		out = append(out, words...)
	}
	return out, nil
}

func isOption(arg string) bool { return len(arg) > 1 && arg[0] == '-' }

func passesThrough(model *kong.Application) bool {
	return slices.ContainsFunc(model.Positional, func(v *kong.Positional) bool { return v.Passthrough })
}

// rewriteOne rewrites one word and reports whether the word after it is its value.
func rewriteOne(flags []*kong.Flag, arg string) (words []string, takesNext bool, err error) {
	switch {
	case strings.HasPrefix(arg, "--"):
		name, value, attached := strings.Cut(arg[2:], "=")
		f, full, err := matchLong(flags, name)
		if err != nil || f == nil {
			return []string{arg}, false, err
		}
		if attached {
			return []string{"--" + full + "=" + value}, false, nil
		}
		if opt, ok := optionalValue(f); ok {
			return []string{"--" + full + "=" + opt}, false, nil
		}
		return []string{"--" + full}, needsValue(f), nil
	case isOption(arg):
		return rewriteShort(flags, arg)
	}
	return []string{arg}, false, nil
}

// rewriteShort splits a cluster of short options ("-fs", "-t60") into one word each.
func rewriteShort(flags []*kong.Flag, arg string) (words []string, takesNext bool, err error) {
	for letters := arg[1:]; letters != ""; {
		r, size := utf8.DecodeRuneInString(letters)
		rest := letters[size:]
		f := matchShort(flags, r)
		if f == nil && r != '?' {
			// Not left to kong: behind a cluster, "-f-" would become the end of options.
			return nil, false, fmt.Errorf("invalid option -- '%c'", r)
		}
		opt, optional := "", false
		if f != nil {
			opt, optional = optionalValue(f)
		}
		switch {
		case f == nil:
			words = append(words, "--help")
		case optional:
			if rest != "" {
				opt = rest
			}
			return append(words, "--"+f.Name+"="+opt), false, nil
		case needsValue(f) && rest != "":
			return append(words, "--"+f.Name+"="+rest), false, nil
		case needsValue(f):
			return append(words, "--"+f.Name), true, nil
		default:
			words = append(words, "--"+f.Name)
		}
		letters = rest
	}
	return words, false, nil
}

// matchLong finds the one flag whose name, alias or negation begins with name. full is what to write; a flag that is
// not there is left for kong to refuse, "help" included.
func matchLong(flags []*kong.Flag, name string) (f *kong.Flag, full string, err error) {
	var found []string
	for _, cand := range flags {
		for _, n := range append([]string{cand.Name}, cand.Aliases...) {
			if n == name {
				return cand, cand.Name, nil
			}
			if name != "" && strings.HasPrefix(n, name) && !slices.Contains(found, cand.Name) {
				f, full = cand, cand.Name
				found = append(found, cand.Name)
			}
		}
	}
	if len(found) > 1 {
		return nil, "", fmt.Errorf("option '--%s' is ambiguous; possibilities: '--%s'", name, strings.Join(found, "' '--"))
	}
	return f, full, nil
}

func matchShort(flags []*kong.Flag, r rune) *kong.Flag {
	for _, f := range flags {
		if f.Short == r {
			return f
		}
	}
	return nil
}

func optionalValue(f *kong.Flag) (string, bool) {
	if f.Tag == nil || !f.Tag.Has("optvalue") {
		return "", false
	}
	return f.Tag.Get("optvalue"), true
}

func needsValue(f *kong.Flag) bool { return !f.IsBool() && !f.IsCounter() }
