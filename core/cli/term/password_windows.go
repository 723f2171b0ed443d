package term

import (
	"errors"
	"os"

	"golang.org/x/term"
)

func openTerminal() (*terminal, error) {
	in, err := os.OpenFile("CONIN$", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile("CONOUT$", os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return &terminal{in: in, out: out}, nil
}

// interrupt can do nothing: a console read ends with the next key.
func (t *terminal) interrupt() {}

// inFront: a console has no jobs.
func (t *terminal) inFront() bool { return true }

// InFront reports whether f is a console.
func InFront(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Close closes both directions.
func (t *terminal) Close() error { return errors.Join(t.in.Close(), t.out.Close()) }
