package cli

import (
	"reflect"
	"slices"
	"strings"
)

// narrow goes down to the sub-command that args name, so that only its grammar is built: a role with twenty
// sub-commands would otherwise pay for all of them at every start. It stops where a level has options of its own, or
// where the words name nothing exactly; there the whole grammar finds out what is meant.
func narrow(g Grammar, cmd Command, args []string) (Grammar, Command, []string) {
	var at any = cmd
	name, rest := g.Name, args
	for len(rest) > 0 {
		next, summary, ok := child(at, rest[0])
		if !ok {
			break
		}
		at, name, rest = next, name+" "+rest[0], rest[1:]
		if c, ok := next.(Command); ok {
			g.Name, g.Summary, cmd, args = name, summary, c, rest
		}
	}
	return g, cmd, args
}

// child is the sub-command of that name, when parent consists of sub-commands alone.
func child(parent any, name string) (next any, summary string, ok bool) {
	v := reflect.ValueOf(parent)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil, "", false
	}
	v = v.Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Tag.Get("kong") == "-" {
			continue
		}
		if _, isCommand := f.Tag.Lookup("cmd"); !isCommand || !f.IsExported() {
			return nil, "", false
		}
		if slices.Contains(commandNames(f), name) {
			next, summary = v.Field(i).Addr().Interface(), f.Tag.Get("help")
		}
	}
	return next, summary, next != nil
}

// commandNames are the names kong gives a field: its name tag, else the words of its Go name joined by dashes; and
// its aliases.
func commandNames(f reflect.StructField) []string {
	names := strings.Split(f.Tag.Get("aliases"), ",")
	if n := f.Tag.Get("name"); n != "" {
		return append(names, n)
	}
	var b strings.Builder
	for i, r := range f.Name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return append(names, strings.ToLower(b.String()))
}
