package term

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadKeys(t *testing.T) {
	for name, tc := range map[string]struct {
		typed string
		want  string
		err   error
	}{
		"line":                     {"correct horse\r", "correct horse", nil},
		"newline_ends_too":         {"abc\n", "abc", nil},
		"empty_line":               {"\r", "", nil},
		"backspace_takes_one_rune": {"aü\x7f\x7fb\r", "b", nil},
		"backspace_at_the_start":   {"\x08\x7fa\r", "a", nil},
		"ctrl_u_starts_again":      {"wrong\x15right\r", "right", nil},
		"arrow_keys_are_ignored":   {"a\x1b[Ab\x1bOPc\x1b[3~d\r", "abcd", nil},
		"tab_is_a_character":       {"a\tb\r", "a\tb", nil},
		"other_controls_ignored":   {"a\x01\x1ab\r", "ab", nil},
		"ctrl_d_in_a_line_ignored": {"a\x04b\r", "ab", nil},
		"ctrl_d_gives_up":          {"\x04", "", ErrInterrupted},
		"ctrl_c_gives_up":          {"abc\x03", "", ErrInterrupted},
		"hang_up":                  {"abc", "", ErrInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			r := readKeys(strings.NewReader(tc.typed), io.Discard)
			if !errors.Is(r.err, tc.err) || r.text.Expose() != tc.want {
				t.Errorf("got %q, %v", r.text.Expose(), r.err)
			}
		})
	}
	t.Run("too_long", func(t *testing.T) {
		if r := readKeys(strings.NewReader(strings.Repeat("x", maxPassword+1)+"\r"), io.Discard); r.err == nil {
			t.Error("accepted")
		}
	})
	t.Run("just_fits", func(t *testing.T) {
		if r := readKeys(strings.NewReader(strings.Repeat("x", maxPassword)+"\r"), io.Discard); r.err != nil {
			t.Error(r.err)
		}
	})
}

// TestEcho: what stands on the screen is the line as it is.
func TestEcho(t *testing.T) {
	for typed, want := range map[string]string{
		"ab\r":          "ab",
		"aü\x7fb\r":     "aü\b \bb",
		"abc\x15d\r":    "abc\b \b\b \b\b \bd",
		"\x7fa\x1b[A\r": "a",
	} {
		var screen strings.Builder
		if r := readKeys(strings.NewReader(typed), &screen); r.err != nil || screen.String() != want {
			t.Errorf("%q shows %q (%v), want %q", typed, screen.String(), r.err, want)
		}
	}
}
