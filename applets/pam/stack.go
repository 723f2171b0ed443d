package pam

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/config"
)

// errStack: a file of PAM cannot be understood.
var errStack = errors.New("is no PAM stack")

const (
	maxStack    = 256 << 10 // bytes of a file
	maxIncludes = 16        // deep
	maxRules    = 1000
	maxFiles    = 200
)

// rule is one line of a PAM stack.
type rule struct {
	file    string
	line    int
	kind    string // auth, account, session or password
	control control
	module  string // base name without .so; "" for a substack
	path    string // as it stands
	args    []string
	sub     []rule // of a substack
}

func (r rule) String() string { return fmt.Sprintf("%s:%d", r.file, r.line) }

// control says what follows from what a module returns: "ok", "done", "bad", "die", "ignore", "reset" or a number of
// modules to skip, by the name of the return value, with "default".
type control map[string]string

func (c control) action(returned string) string {
	if a, ok := c[returned]; ok {
		return a
	}
	if a, ok := c["default"]; ok {
		return a
	}
	return "bad"
}

// keyword is what the words of pam.conf(5) stand for.
func keyword(word string) (control, bool) {
	switch word {
	case "required":
		return control{"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "bad"}, true
	case "requisite":
		return control{"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "die"}, true
	case "sufficient":
		return control{"success": "done", "new_authtok_reqd": "done", "default": "ignore"}, true
	case "optional":
		return control{"success": "ok", "new_authtok_reqd": "ok", "default": "ignore"}, true
	}
	return nil, false
}

// stackDirs are where Linux-PAM looks for services, the first that has one wins.
func stackDirs(root string) []string {
	return []string{
		filepath.Join(root, "/etc/pam.d"), filepath.Join(root, "/usr/lib/pam.d"), filepath.Join(root, "/usr/etc/pam.d"),
	}
}

// stackReader reads the rules of one kind.
type stackReader struct {
	root  string // "/" but in tests
	kind  string
	rules int
	files int
}

// readStack returns the rules of a service of one kind, with what its file includes.
func readStack(root, service, kind string) ([]rule, error) {
	r := stackReader{root: root, kind: kind}
	return r.service(service, 0)
}

func (r *stackReader) service(name string, depth int) ([]rule, error) {
	if r.files++; depth > maxIncludes || r.files > maxFiles {
		return nil, fmt.Errorf("%s %w: it includes itself", name, errStack)
	}
	if strings.Contains(name, "/") {
		return r.file(filepath.Join(r.root, name), depth)
	}
	for _, dir := range stackDirs(r.root) {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return r.file(path, depth)
		}
	}
	return nil, fmt.Errorf("PAM service %s: %w", name, os.ErrNotExist)
}

func (r *stackReader) file(path string, depth int) ([]rule, error) {
	b, err := config.ReadFile(path, maxStack)
	if err != nil {
		return nil, err
	}
	var rules []rule
	n := 0
	for text := range logicalLines(string(b), &n) {
		more, err := r.lineRules(text, depth)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		for i := range more {
			if more[i].file == "" {
				more[i].file, more[i].line = path, n
			}
		}
		if rules = append(rules, more...); len(rules)+r.rules > maxRules {
			return nil, fmt.Errorf("%s %w: too many rules", path, errStack)
		}
	}
	r.rules += len(rules)
	return rules, nil
}

// logicalLines gives the lines without comments, those that end in a backslash joined. n is the number of the last one.
func logicalLines(text string, n *int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		joined := ""
		for line := range strings.Lines(text) {
			*n++
			line = strings.TrimRight(line, "\r\n")
			if !strings.HasPrefix(strings.TrimSpace(line), "@") {
				line, _, _ = strings.Cut(line, "#")
			}
			if head, more := strings.CutSuffix(line, `\`); more {
				joined += head + " "
				continue
			}
			line, joined = strings.TrimSpace(joined+line), ""
			if line != "" && !yield(line) {
				return
			}
		}
	}
}

// lineRules are the rules that one line stands for: none of another kind, one, or those of an included file.
func (r *stackReader) lineRules(text string, depth int) ([]rule, error) {
	words := splitWords(text)
	if words[0] == "@include" {
		if len(words) < 2 {
			return nil, errStack
		}
		return r.service(words[1], depth+1)
	}
	kind, silent := strings.CutPrefix(words[0], "-")
	if !strings.EqualFold(kind, r.kind) {
		return nil, nil
	}
	if len(words) < 3 {
		return nil, errStack
	}
	switch words[1] {
	case "include":
		return r.service(words[2], depth+1)
	case "substack":
		sub, err := r.service(words[2], depth+1)
		return []rule{{kind: r.kind, sub: sub}}, err
	}
	c, ok := keyword(words[1])
	if !ok {
		var err error
		if c, err = parseControl(words[1]); err != nil {
			return nil, err
		}
	}
	module := strings.TrimSuffix(filepath.Base(words[2]), ".so")
	if silent && !moduleThere(r.root, words[2]) {
		return nil, nil
	}
	return []rule{{kind: r.kind, control: c, module: module, path: words[2], args: words[3:]}}, nil
}

// parseControl reads [value=action ...].
func parseControl(text string) (control, error) {
	inner, opened := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !opened || !closed {
		return nil, fmt.Errorf("%q: %w", text, errStack)
	}
	c := control{}
	for _, pair := range strings.Fields(inner) {
		value, action, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("%q: %w", pair, errStack)
		}
		if _, err := strconv.ParseUint(action, 10, 16); err != nil &&
			!slices.Contains([]string{"ok", "done", "bad", "die", "ignore", "reset"}, action) {
			return nil, fmt.Errorf("%q: %w", pair, errStack)
		}
		c[value] = action
	}
	return c, nil
}

// splitWords splits at blanks; what stands in brackets is one word, which keeps its brackets only as a control.
func splitWords(text string) []string {
	var words []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		if text[0] == '[' {
			if end := strings.IndexByte(text, ']'); end > 0 {
				words, text = append(words, text[:end+1]), text[end+1:]
				continue
			}
		}
		end := strings.IndexAny(text, " \t")
		if end < 0 {
			end = len(text)
		}
		words, text = append(words, text[:end]), text[end:]
	}
	return words
}

// moduleThere reports whether a module is installed.
func moduleThere(root, path string) bool {
	places := []string{filepath.Join(root, path)}
	if path[0] != '/' {
		places = nil
		for _, dir := range []string{
			"/lib/*/security", "/usr/lib/*/security", "/lib64/security", "/usr/lib64/security", "/lib/security",
			"/usr/lib/security",
		} {
			places = append(places, filepath.Join(root, dir, path))
		}
	}
	return slices.ContainsFunc(places, func(p string) bool {
		found, err := filepath.Glob(p)
		return err == nil && len(found) > 0
	})
}
