// Package prompt is the role that asks a person one question: oidc-prompt.
//
// It asks at the terminal it was started at, else by pinentry, else by a dialog helper of the desktop, and prints the
// answer. Nothing printed means cancelled.
//
// Not a public API.
package prompt

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// Cmd is the grammar: that of the original, which has operands only.
type Cmd struct {
	Type    string   `arg:"" enum:"password,input,confirm,confirm-default-yes,confirm-default-no,multiple,select,select-other,link,mytoken-confirm" help:"What to ask for: ${enum}."`
	Title   string   `arg:"" help:"Title of the window."`
	Text    string   `arg:"" help:"What it is about. For mytoken-confirm, HTML in base64."`
	Label   string   `arg:"" optional:"" help:"What stands before the answer. For link, the address."`
	Timeout int64    `arg:"" optional:"" help:"Seconds to wait; 0 for five minutes."`
	Init    string   `arg:"" optional:"" help:"What is entered or chosen already."`
	List    []string `arg:"" optional:"" help:"More to choose from."`

	asker prompt.Asker // of tests
}

// New returns the role.
func New() cli.Command { return &Cmd{} }

// Run asks and prints the answer.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	q, err := c.question()
	if err != nil {
		return err
	}
	if err := vault.HardenProcess(); err != nil {
		env.Warn("going on with less protection: %v", err)
	}
	a, err := c.ask(ctx, env, q)
	defer a.Text.Wipe()
	switch {
	case errors.Is(err, prompt.ErrNobody):
		return cli.Fail(cli.Human, err, "start it at a terminal, or install pinentry")
	case errors.Is(err, prompt.ErrCancelled), errors.Is(err, prompt.ErrTimeout):
		return cli.Exit(cli.No) // who called sees it by the empty output
	case err != nil:
		return err
	}
	return c.print(env, q, a)
}

func (c *Cmd) ask(ctx context.Context, env *cli.Env, q prompt.Question) (prompt.Answer, error) {
	asker := c.asker
	if asker == nil {
		self, _ := os.Executable()
		asker = prompt.Best(prompt.Env{Getenv: env.Getenv, Self: self, Terminal: prompt.Terminal{}, NoPrograms: true})
	}
	if q.Kind == prompt.Link && prompt.Can(prompt.Terminal{}, prompt.Link) {
		env.Note("%s\n%s", q.Text, q.Label) // a window stays; lines on a terminal do so by themselves
		return prompt.Answer{}, nil
	}
	return asker.Ask(ctx, q)
}

// question is what the operands say.
func (c *Cmd) question() (prompt.Question, error) {
	if c.Timeout < 0 || c.Timeout > int64(maxWait/time.Second) {
		return prompt.Question{}, cli.Failf(cli.Usage, "a timeout of %d seconds", c.Timeout)
	}
	q := prompt.Question{
		Kind: prompt.Kind(c.Type), Title: c.Title, Text: c.Text, Label: c.Label, Default: c.Init,
		Timeout: time.Duration(c.Timeout) * time.Second,
	}
	switch c.Type {
	case "confirm", "confirm-default-yes":
		q.Kind, q.Default = prompt.Confirm, prompt.Yes
	case "confirm-default-no":
		q.Kind, q.Default = prompt.Confirm, prompt.No
	case "mytoken-confirm":
		text, err := plainText(c.Text)
		if err != nil {
			return q, cli.Fail(cli.Usage, err, "")
		}
		q.Kind, q.Text, q.Default = prompt.Confirm, text, ""
	case "select", "select-other", "multiple":
		q.Choices = c.List
		if c.Init != "" {
			q.Choices = append([]string{c.Init}, c.List...)
		}
	}
	if !q.Kind.Known() {
		return q, cli.Failf(cli.Usage, "unknown type %q", c.Type)
	}
	return q, nil
}

// maxWait bounds the time that can be asked for.
const maxWait = 24 * time.Hour

// plainText is the page that the original shows for a mytoken, as text: tags are dropped, entities resolved.
func plainText(b64 string) (string, error) {
	page, err := base64.StdEncoding.DecodeString(b64)
	if err != nil {
		if page, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(b64, "=")); err != nil {
			return "", errors.New("the text of a mytoken-confirm is not base64")
		}
	}
	hidden := regexp.MustCompile(`(?is)<(script|style)\b.*?</(script|style)>|<!--.*?-->`)
	breaks := regexp.MustCompile(`(?i)<(br|/p|/div|/li|/tr|/h[1-6])\b[^>]*>`)
	tags := regexp.MustCompile(`<[^>]*>`)
	s := tags.ReplaceAllString(breaks.ReplaceAllString(hidden.ReplaceAllString(string(page), ""), "\n"), "")
	var lines []string
	for _, l := range strings.Split(html.UnescapeString(s), "\n") {
		if l = strings.Join(strings.Fields(l), " "); l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "\n"), nil
}

func (c *Cmd) print(env *cli.Env, q prompt.Question, a prompt.Answer) error {
	var err error
	switch q.Kind {
	case prompt.Confirm:
		word := prompt.No
		if a.Yes {
			word = prompt.Yes
		}
		_, err = fmt.Fprintln(env.Stdout, word)
	case prompt.Multiple:
		_, err = fmt.Fprintln(env.Stdout, strings.Join(a.Chosen, "\n"))
	case prompt.Link:
	default:
		err = a.Text.Use(func(b []byte) error {
			if _, err := env.Stdout.Write(b); err != nil {
				return err
			}
			_, err := env.Stdout.Write([]byte("\n"))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return nil
}
