// Package assurance reads expressions over assurance values, "profile/espresso | IAP/medium & ID/unique", and says
// whether the values of a person satisfy one. Values are the whole strings of eduperson_assurance; a word that is no
// URL is one of the REFEDS assurance framework (RAF).
//
// It does not find the claim, does not judge who asserted it, and computes no profile from its parts.
//
// Standards: REFEDS Assurance Framework 1.0 and 2.0, AARC-G021, IGTF authentication assurance (values only).
//
// Not a public API.
package assurance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Base is what an issuer asserts that follows RAF at all; RAF's other values begin with it and a slash.
const Base = "https://refeds.org/assurance"

// Bounds of an expression: its bytes, and how deep parentheses may nest.
const (
	MaxLength = 4096
	MaxDepth  = 64
)

// ErrExpression: the text is no expression. The error that wraps it says where.
var ErrExpression = errors.New("not an assurance expression")

// Op is what an expression is at its top.
type Op int

// The kinds of expression. The zero Op is satisfied by nobody.
const (
	Never  Op = iota
	Value     // Expr.Value is asserted
	All       // all of Children
	One       // at least one of Children
	Any       // "+": at least one value is asserted
	Always    // "*"
)

// Expr is an expression that was parsed. The zero value is satisfied by nobody.
type Expr struct {
	Op       Op
	Value    string // whole, with the prefix
	Children []Expr
}

// Parse reads an expression: words joined by & (binds tighter) and |, parentheses, "+" for at least one value of any
// kind and "*" for always. A word that does not begin with http:// or https:// gets Base and a slash in front. The
// error wraps ErrExpression.
func Parse(s string) (Expr, error) {
	if len(s) > MaxLength {
		return Expr{}, fmt.Errorf("%w: longer than %d bytes", ErrExpression, MaxLength)
	}
	p := parser{s: s}
	e, err := p.either(0)
	if err == nil && p.peek() != 0 {
		err = p.fault("something follows it")
	}
	if err != nil {
		return Expr{}, err
	}
	return e, nil
}

type parser struct {
	s  string
	at int
}

func (p *parser) fault(what string) error {
	return fmt.Errorf("%w: column %d: %s", ErrExpression, p.at+1, what)
}

// peek is the next byte that is no white space, 0 at the end.
func (p *parser) peek() byte {
	for p.at < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.at]) >= 0 {
		p.at++
	}
	if p.at == len(p.s) {
		return 0
	}
	return p.s[p.at]
}

func (p *parser) either(depth int) (Expr, error) {
	return p.joined('|', One, func() (Expr, error) {
		return p.joined('&', All, func() (Expr, error) { return p.operand(depth) })
	})
}

func (p *parser) joined(sign byte, op Op, next func() (Expr, error)) (Expr, error) {
	first, err := next()
	if err != nil || p.peek() != sign {
		return first, err
	}
	e := Expr{Op: op, Children: []Expr{first}}
	for p.peek() == sign {
		p.at++
		one, err := next()
		if err != nil {
			return Expr{}, err
		}
		e.Children = append(e.Children, one)
	}
	return e, nil
}

func (p *parser) operand(depth int) (Expr, error) {
	switch c := p.peek(); c {
	case '(':
		if depth == MaxDepth {
			return Expr{}, p.fault("too many parentheses")
		}
		p.at++
		e, err := p.either(depth + 1)
		if err != nil {
			return Expr{}, err
		}
		if p.peek() != ')' {
			return Expr{}, p.fault("a closing parenthesis is missing")
		}
		p.at++
		return e, nil
	case 0, ')', '&', '|':
		return Expr{}, p.fault("a value is missing")
	}
	return p.word()
}

func (p *parser) word() (Expr, error) {
	end := strings.IndexFunc(p.s[p.at:], func(r rune) bool { return strings.ContainsRune(" \t\r\n()&|", r) })
	if end < 0 {
		end = len(p.s) - p.at
	}
	word := p.s[p.at : p.at+end]
	for i := range len(word) {
		if word[i] <= ' ' || word[i] >= 0x7f {
			return Expr{}, p.fault("a value has a character that is not printable ASCII")
		}
	}
	var e Expr
	switch {
	case word == "+":
		e = Expr{Op: Any}
	case word == "*":
		e = Expr{Op: Always}
	case strings.HasPrefix(word, "https://"), strings.HasPrefix(word, "http://"):
		e = Expr{Op: Value, Value: word}
	case word[0] == '/':
		return Expr{}, p.fault("a value begins with a slash")
	default:
		e = Expr{Op: Value, Value: Base + "/" + word}
	}
	p.at += end
	return e, nil
}

// String is the expression in the form Parse reads, with parentheses where they are needed.
func (e Expr) String() string {
	switch e.Op {
	case Value:
		if word, ok := strings.CutPrefix(e.Value, Base+"/"); ok && bare(word) {
			return word
		}
		return e.Value
	case Any:
		return "+"
	case Always:
		return "*"
	case All, One:
		parts := make([]string, len(e.Children))
		for i, c := range e.Children {
			if parts[i] = c.String(); c.Op == One || c.Op == All && e.Op == All {
				parts[i] = "(" + parts[i] + ")"
			}
		}
		return strings.Join(parts, map[Op]string{All: " & ", One: " | "}[e.Op])
	case Never:
	}
	return ""
}

// bare reports whether a word without the prefix would be read as the value it is.
func bare(word string) bool {
	return word != "" && word != "+" && word != "*" && word[0] != '/' &&
		!strings.HasPrefix(word, "http://") && !strings.HasPrefix(word, "https://")
}

// Values are what a person's issuer asserts.
type Values struct {
	list []string
	// LaxBase lets RAF's values count although the issuer does not assert Base, without which they mean nothing.
	LaxBase bool
}

// NewValues takes the strings of the claim.
func NewValues(list []string) Values { return Values{list: list} }

// Asserted reports whether value, a whole string, is asserted; a higher identity proofing (IAP) implies a lower one.
func (v Values) Asserted(value string) bool {
	if v.Missing(value) {
		return false
	}
	if slices.Contains(v.list, value) {
		return true
	}
	switch value {
	case Base + "/IAP/low":
		return slices.Contains(v.list, Base+"/IAP/medium") || slices.Contains(v.list, Base+"/IAP/high")
	case Base + "/IAP/medium":
		return slices.Contains(v.list, Base+"/IAP/high")
	}
	return false
}

// Missing reports whether value counts for nothing because it is RAF's and the issuer does not assert Base.
func (v Values) Missing(value string) bool {
	return !v.LaxBase && strings.HasPrefix(value, Base+"/") && !slices.Contains(v.list, Base)
}

// Satisfied reports whether the values satisfy e.
func (v Values) Satisfied(e Expr) bool {
	switch e.Op {
	case Value:
		return v.Asserted(e.Value)
	case Any:
		return len(v.list) > 0
	case Always:
		return true
	case All:
		return len(e.Children) > 0 && !slices.ContainsFunc(e.Children, func(c Expr) bool { return !v.Satisfied(c) })
	case One:
		return slices.ContainsFunc(e.Children, v.Satisfied)
	case Never:
	}
	return false
}
