package importconfig

import (
	"errors"
	"fmt"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sorted"
)

// Source is an old file.
type Source struct {
	Name string
	Text []byte
}

// SecretFile is a file with a password, to be written with mode 0600 beside the configuration that names it.
type SecretFile struct {
	Name   string
	Text   secret.Text
	Worker bool // of the worker; else of the server
}

// Result is what an import gives.
type Result struct {
	Provisioner []byte // provisioner.yaml
	Worker      []byte // worker.yaml
	Secrets     []SecretFile
	Notes       []Note // loud ones first
}

// ErrNothing: neither file says which providers are trusted.
var ErrNothing = errors.New("no provider in the old configuration: nothing to convert")

// Convert makes both configurations of the old ones. The feudal adapter's may be missing: its defaults hold then, as they
// did before. The error says what configparser would not have read either, or is ErrNothing.
func Convert(cue, adapter *Source) (*Result, error) {
	if cue == nil {
		return nil, ErrNothing
	}
	f, err := parse(cue.Name, cue.Text)
	if err != nil {
		return nil, err
	}
	mr := newReader(f, false)
	m := readMotley(mr)
	if len(m.ops) == 0 {
		return nil, fmt.Errorf("%s: %w", cue.Name, ErrNothing)
	}
	if adapter == nil {
		adapter = &Source{Name: "feudal_adapter.conf (there is none)"}
	}
	g, err := parse(adapter.Name, adapter.Text)
	if err != nil {
		return nil, err
	}
	fr := newReader(g, true)
	c := &conversion{m: m, f: readFeudal(fr), mr: mr, fr: fr}
	c.judge()
	provisioner, worker := c.provisioner(), c.worker()
	c.notes = append(c.notes, mr.finish()...)
	c.notes = append(c.notes, fr.finish()...)
	sorted.By(c.notes, func(a, b Note) int {
		switch {
		case a.Loud == b.Loud:
			return 0
		case a.Loud:
			return -1
		}
		return 1
	})
	return &Result{
		Provisioner: c.head("provisioner serve", provisioner), Worker: c.head("provisioner worker", worker),
		Secrets: c.secrets, Notes: c.notes,
	}, nil
}

// conversion is one import.
type conversion struct {
	m       motley
	f       feudal
	mr, fr  *reader
	secrets []SecretFile
	notes   []Note
}

// judge says loudly where the old configuration was less careful than the new one, or than it looked.
func (c *conversion) judge() {
	a := c.f.assurance
	if a.skip {
		c.fr.warn(a.at, "[assurance] skip", "ASSURANCE WAS SWITCHED OFF: whoever a provider vouches for in any way got an account. "+
			"It stays off (accounts.assurance: \"*\") until you decide; %q is what the file required beside it", a.require)
	}
	for _, o := range c.m.ops {
		s := c.mr.file.section(authorisationSection + o.name)
		if len(o.audience) == 0 {
			c.mr.warn(value{line: s.line}, "["+s.name+"] audience", "the audience was not checked, and is not now: whoever gets hold "+
				"of a token of this provider, made for whatever service, can log in with it. Set audiences")
		}
		if o.all && len(o.vos) > 0 {
			c.mr.warn(c.mr.at(s, "authorise_all"), "["+s.name+"] authorise_all", "everybody of this provider was allowed; the VOs "+
				"beside it decided nothing")
		}
		if !o.all && len(o.vos) == 0 && len(o.users) == 0 {
			c.mr.note(value{line: s.line}, "["+s.name+"]", "nobody of this provider was authorised, and nobody is now")
		}
	}
	if c.f.fallback == "nogroup" || c.f.fallback == "" && c.f.primary == "" {
		c.fr.warn(c.fr.at(c.fr.file.section("ldf_adapter"), "fallback_group"), "fallback_group", "people without a group would "+
			"share nogroup with the daemons of this host, which is not done here: the new fallback is %q, a group of their own",
			fallbackGroup)
		c.f.fallback = fallbackGroup
	}
	if c.f.backend == "local_unix" && c.f.unix.keys {
		c.fr.note(c.fr.at(c.fr.file.section("backend.local_unix"), "deploy_user_ssh_keys"), "deploy_user_ssh_keys",
			"ssh keys of a request are put in place when claims.ssh_keys names the claim they come in; the old service had them "+
				"from callers other than motley_cue alone")
	}
}

// fallbackGroup is for people without any group.
const fallbackGroup = "federated"

// secretFile remembers a password and returns the name of its file.
func (c *conversion) secretFile(name string, text secret.Text, worker bool) string {
	c.secrets = append(c.secrets, SecretFile{name, text, worker})
	return name
}

// head is the file with the remarks in front of it.
func (c *conversion) head(role string, body *page) []byte {
	p := &page{}
	p.comment("Configuration of \"oidcbox " + role + "\", converted from " + c.mr.file.name + " and " + c.fr.file.name + ".")
	p.comment("\"oidcbox provisioner config example\" prints every setting there is, with its meaning.")
	if len(c.notes) > 0 {
		p.comment("")
		p.comment("What has no equal, or another meaning (!! is for you to decide before this is used):")
		for _, n := range c.notes {
			mark := "   "
			if n.Loud {
				mark = "!! "
			}
			p.comment("")
			for i, line := range wrap(n.String(), wide) {
				p.comment(mark + line)
				if i == 0 {
					mark = "   "
				}
			}
		}
	}
	p.blank()
	return []byte(p.b.String() + body.b.String())
}

const wide = 112

// wrap breaks text at blanks into lines of at most width bytes, where it has blanks.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
