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
	if len(args) != 1 || args[0] == "" || args[0][0] == '-' {
		return false
	}
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return false
	}
	operand, ok := onlyOperand(v.Elem(), reflect.Value{})
	if !ok || !operand.IsValid() {
		return false
	}
	operand.SetString(args[0])
	return true
}

// onlyOperand sets the defaults of the options in v and returns the operand, which is found already when it lies outside
// of v. It is not ok when there is another one, or anything that is not simple.
func onlyOperand(v, found reflect.Value) (operand reflect.Value, ok bool) {
	for i := range v.NumField() {
		field, f := v.Type().Field(i), v.Field(i)
		_, isOperand := field.Tag.Lookup("arg")
		switch {
		case field.Tag.Get("kong") == "-":
		case field.Anonymous && field.Tag == "" && f.Kind() == reflect.Struct:
			if found, ok = onlyOperand(f, found); !ok {
				return found, false
			}
		case !field.IsExported():
		case isOperand && (found.IsValid() || f.Kind() != reflect.String || strings.Contains(string(field.Tag), "enum:")):
			return found, false
		case isOperand:
			found = f
		case !setDefault(f, field):
			return found, false
		}
	}
	return found, true
}

// setDefault gives an option its default; false when it is none of the simple kinds.
func setDefault(v reflect.Value, f reflect.StructField) bool {
	for _, key := range []string{"cmd", "embed", "required", "env", "envprefix", "type"} {
		if _, is := f.Tag.Lookup(key); is {
			return false
		}
	}
	value, given := f.Tag.Lookup("default")
	switch {
	case f.Anonymous || v.Kind() == reflect.Struct || strings.Contains(value, "${"):
		return false
	case !given:
		return true
	case v.Kind() == reflect.String:
		v.SetString(value)
		return true
	case v.Kind() == reflect.Int64 && v.Type().PkgPath() == "" || v.Kind() == reflect.Int:
		n, err := strconv.ParseInt(value, 10, 64)
		if err == nil {
			v.SetInt(n)
		}
		return err == nil
	}
	return false // a duration, a list: kong knows how to read it
}
