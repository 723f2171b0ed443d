package cli

import (
	"reflect"
	"strconv"
	"strings"
)

// oneWord fills in a command that was given one operand and nothing else, as kong would: it sets the operand and the
// defaults. It is false, and leaves the work to kong, for every grammar and command line that has more to it. Building
// a grammar takes longer than asking an agent, and scripts call oidc-token in loops.
func oneWord(cmd Command, args []string) bool {
	v := reflect.ValueOf(cmd)
	if len(args) != 1 || args[0] == "" || args[0][0] == '-' || v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return false
	}
	v = v.Elem()
	operand := -1
	for i := range v.NumField() {
		field := v.Type().Field(i)
		tag := field.Tag
		if tag.Get("kong") == "-" || !field.IsExported() && !field.Anonymous {
			continue
		}
		if _, is := tag.Lookup("arg"); is {
			if operand >= 0 || v.Field(i).Kind() != reflect.String || strings.Contains(string(tag), `enum:`) {
				return false
			}
			operand = i
			continue
		}
		if !setDefault(v.Field(i), field) {
			return false
		}
	}
	if operand < 0 {
		return false
	}
	v.Field(operand).SetString(args[0])
	return true
}

// setDefault gives an option its default; false when it is none of the simple kinds.
func setDefault(v reflect.Value, f reflect.StructField) bool {
	for _, key := range []string{"cmd", "embed", "required", "env", "envprefix", "type"} {
		if _, is := f.Tag.Lookup(key); is {
			return false
		}
	}
	value, given := f.Tag.Lookup("default")
	if f.Anonymous || v.Kind() == reflect.Struct {
		return false
	}
	if !given {
		return true
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(value)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return false // a duration, or a word that kong knows
		}
		v.SetInt(n)
	default:
		return false
	}
	return !strings.Contains(value, "${")
}
