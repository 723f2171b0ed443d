package pam

import (
	"errors"
	"fmt"
	"strings"
)

// What stands around our lines in files of others.
const (
	beginMark = "# begin oidcbox: written by 'oidcbox pam config --install', taken out by --remove"
	endMark   = "# end oidcbox"
)

var (
	// errHandmade: the stack calls the helper already, by lines that somebody wrote.
	errHandmade = errors.New("calls oidcbox-pam already, on a line that this command did not write")
	// errBlock: our lines begin and do not end.
	errBlock = errors.New("has a line '# begin oidcbox' without its end")
	// errNoPlace: there is no line of the kind before which ours belong.
	errNoPlace = errors.New("has no line before which the helper could stand")
)

// withoutBlocks returns the text without what this command wrote.
func withoutBlocks(text string) (string, error) {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "# begin oidcbox"):
			inside = true
		case inside && trimmed == endMark:
			inside = false
		case !inside:
			b.WriteString(line)
		}
	}
	if inside {
		return "", errBlock
	}
	return b.String(), nil
}

// block is our lines with what stands around them.
func block(lines ...string) string {
	return beginMark + "\n" + strings.Join(lines, "\n") + "\n" + endMark + "\n"
}

// editStack puts the helper in front of the first auth line and of the first account line.
func editStack(text, authLine, accountLine string) (string, error) {
	text, err := withoutBlocks(text)
	if err != nil {
		return "", err
	}
	if strings.Contains(uncommented(text), "oidcbox") {
		return "", errHandmade
	}
	for _, add := range []struct{ kind, line string }{{"auth", authLine}, {"account", accountLine}} {
		if text, err = before(text, add.kind, block(add.line)); err != nil {
			return "", err
		}
	}
	return text, nil
}

func uncommented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		b.WriteString(line + "\n")
	}
	return b.String()
}

// before puts more in front of the first line that is, or includes, rules of a kind.
func before(text, kind, more string) (string, error) {
	var b strings.Builder
	found, joined := false, false
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if !found && !joined && len(words) > 0 && ofKind(words, kind) {
			b.WriteString(more)
			found = true
		}
		joined = strings.HasSuffix(strings.TrimRight(line, "\r\n"), `\`)
		b.WriteString(line)
	}
	if !found {
		return "", fmt.Errorf("%w: no %s line", errNoPlace, kind)
	}
	return b.String(), nil
}

// ofKind reports whether a line has rules of a kind. What "@include" brings is known by the name of the file alone.
func ofKind(words []string, kind string) bool {
	if words[0] == "@include" && len(words) > 1 {
		return words[1] == "common-"+kind || words[1] == "system-"+kind || words[1] == "password-"+kind
	}
	return strings.EqualFold(strings.TrimPrefix(words[0], "-"), kind)
}
