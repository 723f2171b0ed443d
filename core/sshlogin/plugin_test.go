package sshlogin_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// packet writes one message: numbers, strings and flags.
func packet(kind byte, fields ...any) []byte {
	b := []byte{kind}
	for _, f := range fields {
		switch v := f.(type) {
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(v))
		case string:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
		case bool:
			if v {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		}
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// scripted is a plug-in that knows one password.
type scripted struct {
	refuse error
	begun  sshlogin.Connection
	given  int
}

func (s *scripted) Begin(_ context.Context, c sshlogin.Connection) (string, error) {
	s.begun = c
	return "ada", s.refuse
}

func (s *scripted) Password(context.Context) (secret.Text, error) {
	s.given++
	return secret.FromString("hunter2"), nil
}

func TestServePlugin(t *testing.T) {
	begin := packet(1, 2, "login.example.org", 22, "bob")
	began := packet(2, 2, "ada")
	ki, accepted := packet(3, "keyboard-interactive"), packet(4)
	ask := func(fields ...any) []byte { return packet(20, append([]any{"", "", ""}, fields...)...) }
	for _, f := range []struct {
		name    string
		in, out [][]byte
		refuse  error
		err     error
	}{
		{
			"logs_in",
			[][]byte{begin, ki, ask(1, "Password: ", false), ask(0), packet(6)},
			[][]byte{began, accepted, packet(21, 1, "hunter2"), packet(21, 0)},
			nil, nil,
		},
		{"pam_module's_prompt", [][]byte{begin, ki, ask(1, "Access Token:", false)}, [][]byte{began, accepted, packet(21, 1, "hunter2")}, nil, nil},
		{"second_question_is_the_person's", [][]byte{
			begin, ki, ask(1, "Password: ", false), ask(1, "Password: ", false), packet(23, 1, "typed"), packet(7),
		}, [][]byte{began, accepted, packet(21, 1, "hunter2"), packet(22, "", "", "", 1, "Password: ", false), packet(21, 1, "typed")}, nil, nil},
		{"second_factor_in_the_same_request", [][]byte{
			begin, ki, ask(3, "Name: ", true, "Password: ", false, "Code: ", false), packet(23, 2, "n", "c"), packet(6),
		}, [][]byte{began, accepted, packet(22, "", "", "", 2, "Name: ", true, "Code: ", false), packet(21, 3, "n", "hunter2", "c")}, nil, nil},
		{
			"visible_question_gets_no_secret",
			[][]byte{begin, ki, ask(1, "Password: ", true), packet(23, 1, "x")},
			[][]byte{began, accepted, packet(22, "", "", "", 1, "Password: ", true), packet(21, 1, "x")},
			nil, nil,
		},
		{"other_method", [][]byte{begin, packet(3, "password"), ki, packet(7)}, [][]byte{began, packet(5, ""), accepted}, nil, nil},
		{"newer_putty", [][]byte{packet(1, 9, "h", 22, "")}, [][]byte{began}, nil, nil},
		{"refused", [][]byte{begin}, [][]byte{packet(8, "no account")}, errors.New("no account"), nil},
		{"older_putty", [][]byte{packet(1, 1, "h", 22, "")}, nil, nil, sshlogin.ErrPlugin},
		{"nothing_before_the_beginning", [][]byte{ki}, nil, nil, sshlogin.ErrPlugin},
		{"cut_short", [][]byte{begin, ki, packet(20, "", "", "", 2, "Password: ", false)}, nil, nil, sshlogin.ErrPlugin},
		{"too_many_questions", [][]byte{begin, ki, packet(20, "", "", "", 65)}, nil, nil, sshlogin.ErrPlugin},
		{"too_large", [][]byte{begin, {0xff, 0xff, 0xff, 0xff, 3}}, nil, nil, sshlogin.ErrPlugin},
		{"answers_that_do_not_fit", [][]byte{begin, ki, ask(1, "Code: ", false), packet(23, 2, "a", "b")}, nil, nil, sshlogin.ErrPlugin},
		{"request_before_the_method", [][]byte{begin, ask(1, "Password: ", false)}, nil, nil, sshlogin.ErrPlugin},
	} {
		t.Run(f.name, func(t *testing.T) {
			var out bytes.Buffer
			p := &scripted{refuse: f.refuse}
			err := sshlogin.ServePlugin(context.Background(), bytes.NewReader(bytes.Join(f.in, nil)), &out, p)
			if want := cmpErr(f.err, f.refuse); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("error %v, want %v", err, want)
			}
			if f.err == nil && !bytes.Equal(out.Bytes(), bytes.Join(f.out, nil)) {
				t.Errorf("said %q, want %q", out.Bytes(), bytes.Join(f.out, nil))
			}
			if p.given > 1 {
				t.Errorf("%d passwords", p.given)
			}
		})
	}
	p := &scripted{}
	_ = sshlogin.ServePlugin(context.Background(), bytes.NewReader(begin), &bytes.Buffer{}, p)
	if want := (sshlogin.Connection{Host: "login.example.org", Port: 22, User: "bob"}); p.begun != want {
		t.Errorf("%+v", p.begun)
	}
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func FuzzServePlugin(f *testing.F) {
	f.Add(bytes.Join([][]byte{packet(1, 2, "h", 22, ""), packet(3, "keyboard-interactive"), packet(20, "", "", "", 1, "Password: ", false)}, nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		p := &scripted{}
		_ = sshlogin.ServePlugin(context.Background(), bytes.NewReader(in), &bytes.Buffer{}, p)
		if p.given > 1 && !bytes.Contains(in, []byte("keyboard-interactive")) {
			t.Error(fmt.Sprint(p.given) + " passwords without the method")
		}
	})
}
