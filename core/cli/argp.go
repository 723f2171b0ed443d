package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// ArgpRewrite turns GNU argp habits into what kong understands, before it parses: unambiguous prefixes of long options
// become whole ("--ti=5" is "--time=5"), and options may follow operands (kong knows that already) up to "--". Options
// with an optional value take it only when it is attached ("-iVAR", "--issuer=VAR"): a field tagged optvalue:"X" gets
// X when it stands alone.
//
// It changes only words that begin with a dash; values are copied as they are.
func ArgpRewrite(model *kong.Application, args []string) ([]string, error) {
	flags := model.AllFlags(false)
	var long []*kong.Flag
	for _, group := range flags {
		long = append(long, group...)
	}
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...), nil
		}
		word, takesNext, err := rewriteOne(long, arg)
		if err != nil {
			return nil, err
		}
		out = append(out, word...)
		if takesNext && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out, nil
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
	case len(arg) > 1 && arg[0] == '-':
		return rewriteShort(flags, arg)
	}
	return []string{arg}, false, nil
}

// rewriteShort splits a cluster of short options ("-fs", "-t60") into one word each.
func rewriteShort(flags []*kong.Flag, arg string) (words []string, takesNext bool, err error) {
	letters := []rune(arg[1:])
	for i, r := range letters {
		f := matchShort(flags, r)
		if f == nil {
			return append(words, "-"+string(letters[i:])), false, nil
		}
		rest := string(letters[i+1:])
		if opt, ok := optionalValue(f); ok {
			if rest != "" {
				opt = rest
			}
			return append(words, "--"+f.Name+"="+opt), false, nil
		}
		if needsValue(f) {
			if rest != "" {
				return append(words, "--"+f.Name+"="+rest), false, nil
			}
			return append(words, "--"+f.Name), true, nil
		}
		words = append(words, "--"+f.Name)
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
