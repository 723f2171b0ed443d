package verifier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

type policyCmd struct {
	Check   policyCheckCmd   `cmd:"" help:"Say whether a policy file is right, or all that is wrong with it."`
	Explain policyExplainCmd `cmd:"" help:"Say what a policy decides about a token, and why, requirement by requirement."`
}

type policyCheckCmd struct {
	JSON bool   `name:"json" help:"Print the result as JSON."`
	File string `arg:"" name:"file" help:"The policy (YAML)."`
}

// checked is what check --json prints.
type checked struct {
	Valid    bool           `json:"valid"`
	Faults   []policy.Fault `json:"faults,omitempty"`
	Notes    []policy.Fault `json:"notes,omitempty"`
	Services []string       `json:"services,omitempty"`
}

// Run exits with 0 for a policy that can be used and 1 for one that cannot; every fault is a line on standard error.
func (c *policyCheckCmd) Run(_ context.Context, env *cli.Env) error {
	p, err := readPolicy(env, c.File)
	var faults policy.Faults
	if err != nil && (!errors.As(err, &faults) || !c.JSON) {
		return err
	}
	if c.JSON {
		r := checked{Valid: err == nil, Faults: faults}
		if p != nil {
			r.Notes, r.Services = p.Notes, p.Services()
		}
		if jsonErr := printJSON(env.Stdout, r); jsonErr != nil {
			return jsonErr
		}
		return err
	}
	for _, n := range p.Notes {
		env.Warn("%s", n)
	}
	_, err = fmt.Fprintln(env.Stdout, cli.Printable(c.File+": a valid policy"))
	return err
}

// readPolicy reads a policy. A file that cannot be read is wrong usage, a policy with faults a no.
func readPolicy(env *cli.Env, name string) (*policy.Policy, error) {
	b, err := readInput(env, name, policy.MaxSize+1)
	if err != nil {
		return nil, cli.Fail(cli.Usage, fmt.Errorf("read policy: %w", err), "docs/policy.md has one to start from")
	}
	p, err := policy.Parse(name, b)
	if err != nil {
		return nil, cli.Fail(cli.No, err, "the keys and what they mean are in docs/policy.md")
	}
	return p, nil
}

func readInput(env *cli.Env, name string, limit int64) ([]byte, error) {
	f, err := os.Open(within(env, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

type policyExplainCmd struct {
	trust
	Service       string `placeholder:"NAME" help:"The service of the policy that is asked for."`
	Method        string `placeholder:"METHOD" help:"HTTP method of the request."`
	Operation     string `aliases:"op" placeholder:"OPERATION" help:"What is to be done, as a profile names it: storage.read, compute.create, read ..."`
	Path          string `placeholder:"PATH" help:"Path of the request, absolute, as a client sends it."`
	Userinfo      string `placeholder:"FILE" help:"What the issuer's userinfo endpoint said (JSON)."`
	Introspection string `placeholder:"FILE" help:"What the issuer's introspection endpoint said (JSON)."`
	JSON          bool   `name:"json" help:"Print the decision as JSON."`
	File          string `arg:"" name:"file" help:"The policy (YAML)."`
}

// Run exits with 0 for yes, 1 for no, 2 for wrong usage and 5 when the keys cannot be had. The tree is on standard
// output in both cases.
func (c *policyExplainCmd) Run(ctx context.Context, env *cli.Env) error {
	p, err := readPolicy(env, c.File)
	if err != nil {
		return err
	}
	if c.Operation != "" && !policy.KnownOperation(c.Operation) {
		return cli.Fail(cli.Usage, errors.New("--operation: there is no operation of this name"),
			"docs/policy.md has them: storage.read, storage.create, storage.modify ...")
	}
	id, refused, err := c.judge(ctx, env)
	if err != nil {
		return err
	}
	if refused != nil {
		if c.JSON {
			d := policy.Decision{Reason: "token refused: " + verify.Reason(refused), Tree: policy.Node{Kind: "token"}}
			if err := c.print(env, d); err != nil {
				return err
			}
		}
		return c.refusal(refused)
	}
	s, err := c.subject(env, id)
	if err != nil {
		return err
	}
	d := p.Decide(s, policy.Request{Service: c.Service, Method: c.Method, Operation: c.Operation, Path: c.Path})
	if err := c.print(env, d); err != nil {
		return err
	}
	if d.Allowed {
		return nil
	}
	return cli.Fail(cli.No, errors.New("not allowed: "+oneLine(d.Reason)), c.hint(p, d))
}

// hint says what would make it a yes, or which option the question lacks.
func (c *policyExplainCmd) hint(p *policy.Policy, d policy.Decision) string {
	names := strings.Join(p.Services(), ", ")
	switch {
	case len(d.InsufficientScope) > 0:
		return "the missing scope: " + strings.Join(d.InsufficientScope, " ")
	case d.Tree.Kind == "policy" && len(d.Tree.Children) == 0 && names != "":
		return "--service says which; the policy has " + names
	case strings.Contains(d.Reason, "request's") && (c.Method == "" || c.Operation == "" || c.Path == ""):
		return "what the request is say --method, --operation and --path"
	}
	return ""
}

func (c *policyExplainCmd) print(env *cli.Env, d policy.Decision) error {
	if c.JSON {
		return printJSON(env.Stdout, d)
	}
	_, err := io.WriteString(env.Stdout, cli.Printable(d.Tree.String()))
	return err
}

func (c *policyExplainCmd) subject(env *cli.Env, id verify.Identity) (policy.Subject, error) {
	s := policy.Subject{Issuer: id.Issuer, Subject: id.Subject, Profile: id.Profile, Claims: id.Claims}
	var err error
	if s.Userinfo, err = readObject(env, "--userinfo", c.Userinfo); err != nil {
		return s, err
	}
	s.Introspection, err = readObject(env, "--introspection", c.Introspection)
	return s, err
}

func readObject(env *cli.Env, option, name string) (jose.Object, error) {
	if name == "" {
		return jose.Object{}, nil
	}
	b, err := readInput(env, name, jose.MaxToken+1)
	if err != nil {
		return jose.Object{}, cli.Fail(cli.Usage, fmt.Errorf("%s: %w", option, err), "")
	}
	o, err := jose.StrictObject(b, jose.PayloadDepth, jose.PayloadMembers)
	if err != nil {
		return jose.Object{}, cli.Fail(cli.Usage, fmt.Errorf("%s: %w", option, err), "the file has to be one JSON object")
	}
	return o, nil
}
