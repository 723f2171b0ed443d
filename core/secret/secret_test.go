package secret

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"text/template"
)

const planted = "hunter2-planted"

// inUnexportedField is what fmt, log/slog and encoders meet in other packages: they cannot call methods of the field.
type inUnexportedField struct {
	name  string
	inner Text
	ptr   *Text
	list  []Text
	byKey map[string]Text
	any   any
}

// failure carries a secret in an error, as a careless caller might.
type failure struct{ token Text }

func (f failure) Error() string { return fmt.Sprintf("request with %v %s failed", f.token, f.token) }

func holders() map[string]any {
	t := New([]byte(planted))
	in := inUnexportedField{
		name: "x", inner: t, ptr: &t, list: []Text{t}, byKey: map[string]Text{"k": t}, any: t,
	}
	return map[string]any{
		"value": t, "pointer": &t, "slice": []Text{t}, "map": map[string]Text{"a": t}, "array": [1]Text{t},
		"exported_field":   struct{ T Text }{t},
		"unexported_field": in, "pointer_to_struct": &in, "nested": struct{ in inUnexportedField }{in},
		"embedded": struct{ Text }{t},
		"in_error": failure{t}, "wrapped_error": fmt.Errorf("outer: %w", failure{t}),
		"wrapped_twice": fmt.Errorf("a: %w", fmt.Errorf("b: %w %v", failure{t}, t)),
		"joined":        errors.Join(failure{t}, io.EOF),
	}
}

// forms are the planted bytes as verbs and encoders might show them.
func forms() []string {
	b := []byte(planted)
	return []string{
		planted, fmt.Sprintf("%x", b), fmt.Sprintf("%X", b), fmt.Sprintf("% x", b), fmt.Sprintf("% X", b),
		strings.Trim(fmt.Sprintf("%d", b), "[]"), strings.Trim(fmt.Sprintf("%o", b), "[]"),
		strings.Trim(fmt.Sprintf("%b", b), "[]"), strings.Trim(fmt.Sprintf("%#v", b), "[]byte{}"),
		strings.Trim(fmt.Sprintf("%U", []rune(planted)), "[]"), strings.Trim(fmt.Sprintf("%q", []rune(planted)), "[]"),
		"aHVudGVyMi1wbGFudGVk", // base64
	}
}

func clean(t *testing.T, what, out string) {
	t.Helper()
	for _, form := range forms() {
		if strings.Contains(out, form) {
			t.Errorf("%s shows the secret as %q:\n%s", what, form, out)
		}
	}
}

func TestNoVerbShowsIt(t *testing.T) {
	for name, v := range holders() {
		for verb := range rune(128) {
			for _, flags := range []string{"", "+", "#", " ", "-", "0", "+#", "# ", "40", ".3", "-20.5", "#+ "} {
				format := "%" + flags + string(verb)
				clean(t, name+" with "+format, fmt.Sprintf(format, v))
			}
		}
		clean(t, name+" by Print", fmt.Sprint(v)+fmt.Sprintln(v))
	}
}

// The list of forms must be right, or the test above could not fail.
func TestTheTestSeesBytes(t *testing.T) {
	b := []byte(planted)
	for _, format := range []string{"%s", "%v", "%x", "%X", "% x", "%d", "%o", "%b", "%#v", "%q"} {
		out, seen := fmt.Sprintf(format, struct{ b *[]byte }{&b}.b), false
		for _, form := range forms() {
			seen = seen || strings.Contains(out, form)
		}
		if !seen {
			t.Errorf("%s would go unseen: %s", format, out)
		}
	}
}

func TestNoLoggerShowsIt(t *testing.T) {
	var out bytes.Buffer
	loggers := map[string]*slog.Logger{
		"text": slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{AddSource: true})),
		"json": slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{AddSource: true})),
	}
	for kind, l := range loggers {
		for name, v := range holders() {
			out.Reset()
			l.Info("m", "v", v, slog.Any("any", v), slog.Group("g", "v", v))
			l.With("v", v).WithGroup("g").Error("m", "err", v)
			clean(t, kind+" "+name, out.String())
		}
		out.Reset()
		l.Info("m", "v", New([]byte(planted)))
		if !strings.Contains(out.String(), redacted) {
			t.Errorf("%s: %s", kind, out.String())
		}
	}
	out.Reset()
	old := log.New(&out, "", 0)
	for _, v := range holders() {
		old.Println(v)
		old.Printf("%v %+v %#v", v, v, v)
	}
	clean(t, "log", out.String())
}

func TestNoEncoderShowsIt(t *testing.T) {
	encoders := map[string]func(io.Writer, any) error{
		"json": func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) },
		"gob":  func(w io.Writer, v any) error { return gob.NewEncoder(w).Encode(v) },
		"template": func(w io.Writer, v any) error {
			return template.Must(template.New("").Parse("{{.}} {{printf \"%s %v\" . .}}")).Execute(w, v)
		},
	}
	for kind, encode := range encoders {
		for name, v := range holders() {
			var out bytes.Buffer
			err := encode(&out, v)
			clean(t, kind+" "+name, fmt.Sprint(out.String(), err))
		}
		if kind == "template" {
			continue
		}
		if err := encode(io.Discard, struct{ T Text }{New([]byte(planted))}); err == nil {
			t.Errorf("%s: an exported secret was encoded", kind)
		}
	}
}

func TestReflectionSeesNoBytes(t *testing.T) {
	v := reflect.ValueOf(New([]byte(planted)))
	for i := range v.NumField() {
		if k := v.Field(i).Kind(); k != reflect.Func {
			t.Errorf("field %d is a %v: fmt would follow it", i, k)
		}
	}
}

func TestUse(t *testing.T) {
	own := errors.New("own")
	text := New([]byte("abc"))
	if err := text.Use(func(b []byte) error { return own }); !errors.Is(err, own) {
		t.Errorf("got %v", err)
	}
	var got string
	if err := text.Use(func(b []byte) error { got = string(b); return nil }); err != nil || got != "abc" {
		t.Errorf("got %q, %v", got, err)
	}
	t.Run("zero_value_is_an_empty_secret", func(t *testing.T) {
		var zero Text
		called := false
		if err := zero.Use(func(b []byte) error { called = len(b) == 0; return nil }); err != nil || !called {
			t.Errorf("called %v, %v", called, err)
		}
		zero.Wipe()
		if !zero.Empty() || zero.Len() != 0 || zero.Expose() != "" || !zero.Equal(Text{}) || zero.ID() == "" {
			t.Error("not empty")
		}
	})
}

func TestWipe(t *testing.T) {
	b := []byte("abc")
	text := New(b)
	same, other := text, text.Clone()
	text.Wipe()
	text.Wipe()
	if !bytes.Equal(b, make([]byte, 3)) {
		t.Errorf("bytes are %q", b)
	}
	if err := same.Use(func([]byte) error { t.Error("called"); return nil }); !errors.Is(err, ErrWiped) {
		t.Errorf("copy: %v", err)
	}
	if !same.Empty() || same.Expose() != "" || same.ID() != "" {
		t.Error("copy is not empty")
	}
	if other.Expose() != "abc" {
		t.Error("the clone was wiped")
	}
	if err := same.Clone().Use(func([]byte) error { return nil }); !errors.Is(err, ErrWiped) {
		t.Errorf("clone of a wiped secret: %v", err)
	}
}

func TestFromStringCopies(t *testing.T) {
	s := strings.Clone("abc")
	FromString(s).Wipe()
	if s != "abc" {
		t.Errorf("the string became %q", s)
	}
}

func TestEqual(t *testing.T) {
	a := FromString("abc")
	for name, tc := range map[string]struct {
		b    Text
		want bool
	}{
		"itself":       {a, true},
		"same_bytes":   {FromString("abc"), true},
		"other_bytes":  {FromString("abd"), false},
		"prefix":       {FromString("ab"), false},
		"longer":       {FromString("abcd"), false},
		"empty":        {Text{}, false},
		"empty_to_nil": {New(nil), false},
	} {
		if a.Equal(tc.b) != tc.want || tc.b.Equal(a) != tc.want {
			t.Errorf("%s: not %v", name, tc.want)
		}
	}
}

func TestWipedEqualsNothing(t *testing.T) {
	wiped, again := FromString("abc"), FromString("abc")
	wiped.Wipe()
	again.Wipe()
	for name, other := range map[string]Text{"empty": {}, "wiped": again, "itself": wiped} {
		if wiped.Equal(other) || other.Equal(wiped) {
			t.Errorf("%s equals a wiped secret", name)
		}
	}
}

func TestID(t *testing.T) {
	// echo -n abc | sha256sum
	if got := FromString("abc").ID(); got != "ba7816bf8f01cfea" {
		t.Errorf("got %s", got)
	}
}

// Run with -race: Use, Wipe and comparison meet on copies of one secret.
func TestConcurrentUseAndWipe(t *testing.T) {
	for range 50 {
		text := New([]byte(planted))
		other := text
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				err := text.Use(func(b []byte) error {
					if string(b) != planted {
						t.Error("wiped under a running Use")
					}
					return nil
				})
				if err != nil && !errors.Is(err, ErrWiped) {
					t.Error(err)
				}
			})
			wg.Go(func() { _ = text.Equal(other); _ = other.ID(); _ = other.Clone() })
		}
		wg.Go(other.Wipe)
		wg.Wait()
	}
}
