package config

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/oidcbox/oidcbox/core/sorted"
)

// Fault is one thing that is wrong with a file.
type Fault struct {
	File string `json:"file"`
	Line int    `json:"line"` // from 1; 0 when the file as a whole is meant
	Key  string `json:"key"`  // services.storage.rules[0].paths; "" for the file
	Text string `json:"text"`
}

// String is "FILE:LINE: KEY: TEXT".
func (f Fault) String() string {
	s := f.File
	if f.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, f.Line)
	}
	if f.Key != "" {
		s += ": " + f.Key
	}
	return s + ": " + f.Text
}

// Faults is all that is wrong with a file and those it names, in the order of the lines. At most maxFaults are kept.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

func (f Faults) sorted() Faults {
	sorted.By(f, func(a, b Fault) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text),
		)
	})
	return f
}
