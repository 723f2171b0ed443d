package cli

import (
	"context"
	"reflect"
	"testing"
)

type oneWordCmd struct {
	shared
	Scope   []string `short:"s" help:"s"`
	Token   *string  `short:"o" optvalue:"-" help:"o"`
	Name    string   `default:"somebody" help:"n"`
	Flag    bool     `help:"f"`
	Account string   `arg:"" help:"a"`
}

type shared struct {
	Time int64 `short:"t" default:"7" help:"t"`
}

func (c *oneWordCmd) Run(context.Context, *Env) error { return nil }

// TestOneWord: the short way gives what kong gives, and takes no command line that is more than one word.
func TestOneWord(t *testing.T) {
	for _, args := range [][]string{{"login"}, {"https://op.example.org"}, {"a b"}} {
		var short, long oneWordCmd
		if !oneWord(&short, args) {
			t.Errorf("%q: left to kong", args)
		}
		p, err := newParser(Grammar{Name: "x"}, &long, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Parse(args); err != nil || !reflect.DeepEqual(short, long) {
			t.Errorf("%q: %+v, kong has %+v, %v", args, short, long, err)
		}
	}
	for _, args := range [][]string{nil, {""}, {"-"}, {"--help"}, {"-t5"}, {"a", "b"}} {
		if oneWord(new(oneWordCmd), args) {
			t.Errorf("%q was taken", args)
		}
	}
}

type twoOperands struct {
	oneWordCmd
	From string `arg:"" help:"f"`
	To   string `arg:"" help:"t"`
}

type optionOfEnvironment struct {
	Flag    string `env:"X" help:"f"`
	Account string `arg:"" help:"a"`
}

func (*optionOfEnvironment) Run(context.Context, *Env) error { return nil }

type lengthOfTime struct {
	Wait    string `required:"" help:"f"`
	Account string `arg:"" help:"a"`
}

func (*lengthOfTime) Run(context.Context, *Env) error { return nil }

func TestOneWordLeavesTheRest(t *testing.T) {
	for _, cmd := range []Command{new(twoOperands), new(optionOfEnvironment), new(lengthOfTime)} {
		if oneWord(cmd, []string{"x"}) {
			t.Errorf("%T was filled in", cmd)
		}
	}
}
