package self

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Limits of the doctor. Everything it asks may hang: an agent, a provider, the file system of the home directory.
const (
	areaWait     = 8 * time.Second  // one area on this machine
	agentWait    = 3 * time.Second  // one answer of an agent
	providerWait = 10 * time.Second // one provider, all its documents
)

type doctorCmd struct {
	box   `kong:"-"`
	JSON  bool     `help:"Print JSON."`
	Login []string `arg:"" optional:"" complete:"logins" help:"Look at these logins only; all when none is named."`
}

// severity is how bad a finding is.
type severity string

// The severities. A fault keeps something from working, or puts it at risk, now.
const (
	sevOK      severity = "ok"
	sevNote    severity = "note"
	sevWarning severity = "warning"
	sevFault   severity = "fault"
)

// finding is one line of the report. Its texts may hold what others chose: they are made safe when they are printed.
type finding struct {
	Area     string   `json:"area"`
	ID       string   `json:"id"` // stays the same from version to version
	Severity severity `json:"severity"`
	About    string   `json:"about,omitempty"` // login, file, socket
	Text     string   `json:"text"`
	Next     string   `json:"next,omitempty"` // what to do
}

// report is what "doctor --json" prints.
type report struct {
	Version  string    `json:"version"`
	Time     time.Time `json:"time"`
	Faults   int       `json:"faults"`
	Warnings int       `json:"warnings"`
	Findings []finding `json:"findings"`
}

// findings collects those of one area.
type findings struct {
	area string
	list []finding
}

func (f *findings) add(sev severity, id, about, text, next string) {
	f.list = append(f.list, finding{
		Area: f.area, ID: f.area + "." + id, Severity: sev, About: about, Text: text, Next: next,
	})
}

func (f *findings) ok(id, about, text string) { f.add(sevOK, id, about, text, "") }

// doctor looks around.
type doctor struct {
	env  *cli.Env
	box  box
	only []string // names of logins; nil for all
}

// Run looks at everything an agent needs, asks the providers of the logins, and says what is wrong and what to do. It
// changes nothing. The exit code is 1 when something is wrong.
func (c *doctorCmd) Run(ctx context.Context, env *cli.Env) error {
	d := &doctor{env: env, box: c.box, only: c.Login}
	r := report{Version: c.version, Time: env.Now().UTC(), Findings: d.examine(ctx)}
	for _, f := range r.Findings {
		switch f.Severity {
		case sevFault:
			r.Faults++
		case sevWarning:
			r.Warnings++
		}
	}
	var err error
	if c.JSON {
		err = printJSON(env.Stdout, r)
	} else {
		err = r.print(env.Stdout)
	}
	if err != nil {
		return err
	}
	if r.Faults > 0 {
		return cli.Exit(cli.No)
	}
	return ctx.Err()
}

// examine looks at all areas at the same time, and at the providers when it is known which there are.
func (d *doctor) examine(ctx context.Context) []finding {
	areas := []struct {
		name string
		look func(ctx context.Context, f *findings)
	}{
		{"keystore", d.keystore},
		{"files", d.files},
		{"environment", d.environment},
		{"programs", d.programs},
		{"limits", d.limits},
	}
	results := make([]chan []finding, len(areas))
	for i, a := range areas {
		results[i] = make(chan []finding, 1)
		go func() {
			results[i] <- bounded(ctx, a.name, func(ctx context.Context) seen {
				f := findings{area: a.name}
				a.look(ctx, &f)
				return seen{list: f.list}
			}).list
		}()
	}
	here := bounded(ctx, "agent", d.agents)
	known, all := d.chosen(here.known, here.list)
	all = append(all, d.providers(ctx, known)...)
	for _, c := range results {
		all = append(all, <-c...)
	}
	return all
}

// seen is what one look has found.
type seen struct {
	list  []finding
	known []knownLogin
}

// bounded looks at one area and returns what was found in time. A file system that hangs cannot be interrupted: then
// whoever looks is left behind, and ends with the process.
func bounded(ctx context.Context, area string, look func(context.Context) seen) seen {
	ctx, cancel := context.WithTimeout(ctx, areaWait)
	defer cancel()
	done := make(chan seen, 1)
	go func() { done <- look(ctx) }()
	late := time.NewTimer(areaWait + time.Second)
	defer late.Stop()
	select {
	case s := <-done:
		return s
	case <-late.C:
		f := findings{area: area}
		f.add(sevFault, "hangs", "", fmt.Sprintf("looking at this took more than %v: a file system may hang", areaWait),
			"find out with df and mount which one does not answer")
		return seen{list: f.list}
	}
}

// chosen keeps the logins that were named, and misses those that are not there.
func (d *doctor) chosen(known []knownLogin, all []finding) ([]knownLogin, []finding) {
	if len(d.only) == 0 {
		return known, all
	}
	var out []knownLogin
	f := findings{area: "login"}
	for _, name := range d.only {
		i := slices.IndexFunc(known, func(l knownLogin) bool { return l.name == name })
		if i < 0 {
			f.add(sevFault, "unknown", name, "there is no such login, as far as can be seen",
				"set it up with: oidc-gen "+name+"; if the keystore is locked, unlock it first: oidcbox add --unlock")
			continue
		}
		out = append(out, known[i])
	}
	return out, append(all, f.list...)
}

func (r report) print(w io.Writer) error {
	var b strings.Builder
	area := ""
	for _, f := range r.Findings {
		if f.Area != area {
			area = f.Area
			fmt.Fprintf(&b, "%s\n", area)
		}
		text := f.Text
		if f.About != "" {
			text = f.About + ": " + text
		}
		fmt.Fprintf(&b, "  %-8s %s\n", f.Severity, indented(text, 11))
		if f.Next != "" {
			fmt.Fprintf(&b, "%11s%s\n", "", "next: "+indented(f.Next, 17))
		}
	}
	fmt.Fprintf(&b, "%s\n", r.summary())
	_, err := io.WriteString(w, cli.Printable(b.String()))
	return err
}

func indented(text string, by int) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+strings.Repeat(" ", by))
}

func (r report) summary() string {
	switch {
	case r.Faults > 0:
		return fmt.Sprintf("%s, %s", counted(r.Faults, "fault"), counted(r.Warnings, "warning"))
	case r.Warnings > 0:
		return "nothing is broken; " + counted(r.Warnings, "warning")
	}
	return "nothing is wrong"
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
