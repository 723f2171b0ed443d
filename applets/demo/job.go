package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Seconds after the mytoken was asked for, at which its clauses begin and end: short, so that nobody waits for long.
const (
	firstEnds    = 5
	secondBegins = 7
	secondEnds   = 10
	thirdBegins  = 11
)

// clauses are those of the published example, with the times exchanged, in small: compute and read from one country; after
// a pause read below one directory; at the end write the results, once.
func (w *world) clauses() string {
	at := w.site.begun.Unix()
	list := []map[string]any{
		{"exp": at + firstEnds, "scope": "compute.create storage.read:/", "geoip_allow": []string{"BE"}, "usages_AT": 2},
		{
			"nbf": at + secondBegins, "exp": at + secondEnds, "scope": "compute.create storage.read:/vo",
			"usages_AT": 5,
		},
		{"nbf": at + thirdBegins, "exp": at + 600, "scope": "storage.create:/vo/results", "usages_AT": 1, "usages_other": 0},
	}
	b, err := json.Marshal(list)
	if err != nil { // numbers and texts always encode
		return "[]"
	}
	return string(b)
}

// part is a path below what a clause has. Providers of other makes compare the scopes of a refresh as strings, and refuse a
// part: there the job asks for the whole.
func (w *world) part(whole, below string) string {
	if w.site.provider != w.issuer {
		return whole
	}
	return strings.TrimSuffix(whole, "/") + below
}

// createMytoken runs the client as a person does, plays the browser, and keeps the mytoken in a file for the job.
func createMytoken(ctx context.Context, w *world) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	w.site.begun = w.env.Now()
	w.site.mytoken = filepath.Join(w.dir, "job-mytoken")
	if err := w.writeFile("clauses.json", w.clauses()); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, w.exe, "mytoken", "MT", "--url", w.site.url, "--oidc", "-i", w.site.provider, "-n", "job 4711",
		"--capability", "AT", "--capability", "create_mytoken", "--capability", "tokeninfo", "--restrictions",
		filepath.Join(w.dir, "clauses.json"), "--out", w.site.mytoken)
	cmd.Env, cmd.Dir = w.environment(), w.dir
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start mytoken: %w", err)
	}
	link := regexp.MustCompile(regexp.QuoteMeta(w.site.url) + `/c/\S+`)
	asked := ""
	said, browseErr := openLink(pipe, link, func(url string) (err error) {
		if asked, err = w.agree(ctx, url); err != nil {
			cancel() // the client would wait for minutes
		}
		return err
	})
	if err := cmd.Wait(); err != nil || browseErr != nil {
		return "", fmt.Errorf("mytoken: %w: %s", errors.Join(browseErr, err), oneLine(said))
	}
	for _, text := range []string{"storage.read:/vo", "storage.create:/vo/results", "job 4711"} {
		if !strings.Contains(asked, text) {
			return "", fmt.Errorf("the consent page does not say %q", text)
		}
	}
	return "three clauses, allowed on the consent page; the client had it by polling", nil
}

// asJob runs the client where the job is, with a mytoken from a file.
func (w *world) asJob(ctx context.Context, file string, args ...string) (result, error) {
	line := append([]string{w.exe, "mytoken"}, args...)
	line = append(line, "--url", w.site.url, "--MT-file", file)
	if n := w.site.net; n != nil {
		line = n.inside(line)
	}
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = w.environment(), w.dir, &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{}, fmt.Errorf("run mytoken: %w", err)
	}
	return result{code: cmd.ProcessState.ExitCode(), stdout: out.String(), stderr: errOut.String()}, nil
}

// getsToken demands that a job gets an access token with a scope.
func (w *world) getsToken(ctx context.Context, file, scope string) error {
	r, err := w.asJob(ctx, file, "AT", "-s", scope)
	if err == nil && (r.code != 0 || strings.Count(r.stdout, ".") != 2) {
		err = fmt.Errorf("no access token for %s: %s", scope, oneLine(r.stderr))
	}
	return err
}

// refused demands that a job gets none, for a reason, and returns what it is told.
func (w *world) refused(ctx context.Context, file, scope, reason string) (string, error) {
	r, err := w.asJob(ctx, file, "AT", "-s", scope)
	switch {
	case err != nil:
		return "", err
	case r.code == 0 || strings.TrimSpace(r.stdout) != "":
		return "", fmt.Errorf("the job got an access token for %s", scope)
	case !strings.Contains(r.stderr, reason):
		return "", fmt.Errorf("the refusal does not say %q: %s", reason, oneLine(r.stderr))
	}
	_, told, _ := strings.Cut(oneLine(r.stderr), "access token at ")
	_, told, _ = strings.Cut(told, ": ")
	told, _, _ = strings.Cut(told, "; hint: ")
	return scope + ": " + told, nil
}

func fromElsewhere(ctx context.Context, w *world) (string, error) {
	n := w.site.net
	if n == nil {
		return "not shown: the job runs on this machine, in the country of the server (" + w.site.why + ")", nil
	}
	if err := n.move(ctx, n.elsewhere); err != nil {
		return "", err
	}
	told, err := w.refused(ctx, w.site.mytoken, "compute.create", `not from country "DE"`)
	return told, errors.Join(err, n.move(ctx, n.job))
}

func computeAndRead(ctx context.Context, w *world) (string, error) {
	read := w.part("storage.read:/", "/data/in")
	for _, scope := range []string{"compute.create", read} {
		if err := w.getsToken(ctx, w.site.mytoken, scope); err != nil {
			return "", err
		}
	}
	told, err := w.refused(ctx, w.site.mytoken, "compute.create", "used as often as allowed")
	return "compute.create and " + read + "; then " + told, err
}

func betweenClauses(ctx context.Context, w *world) (string, error) {
	if err := w.until(ctx, firstEnds+1); err != nil {
		return "", err
	}
	return w.refused(ctx, w.site.mytoken, "compute.create", "clause 1: not after")
}

// until waits for a second of the mytoken's life.
func (w *world) until(ctx context.Context, second int) error {
	wait := time.NewTimer(time.Until(w.site.begun.Truncate(time.Second).Add(time.Duration(second) * time.Second)))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func subJob(ctx context.Context, w *world) (string, error) {
	if err := w.until(ctx, secondBegins); err != nil {
		return "", err
	}
	scope := w.part("storage.read:/vo", "/run7")
	w.site.sub = filepath.Join(w.dir, "sub-mytoken")
	r, err := w.asJob(ctx, w.site.mytoken, "MT", "-n", "sub-job", "--capability", "AT", "-s", scope,
		"--usages-AT", "1", "--exp", fmt.Sprint(w.site.begun.Unix()+secondEnds), "--out", w.site.sub)
	if err == nil && r.code != 0 {
		err = errors.New(oneLine(r.stderr))
	}
	if err != nil {
		return "", fmt.Errorf("sub-token: %w", err)
	}
	if err := w.getsToken(ctx, w.site.sub, scope); err != nil {
		return "", fmt.Errorf("sub-job: %w", err)
	}
	told, err := w.refused(ctx, w.site.sub, scope, "used as often as allowed")
	return "once for " + scope + "; then " + told, err
}

func writeResults(ctx context.Context, w *world) (string, error) {
	if err := w.until(ctx, thirdBegins); err != nil {
		return "", err
	}
	scope := w.part("storage.create:/vo/results", "/run7")
	told, err := w.refused(ctx, w.site.mytoken, "storage.read:/vo/run7", "not for scope")
	if err != nil {
		return "", err
	}
	if err := w.getsToken(ctx, w.site.mytoken, scope); err != nil {
		return "", err
	}
	return scope + "; and " + told, nil
}

func revokeMytoken(ctx context.Context, w *world) (string, error) {
	r, err := w.run(ctx, nil, "mytoken", "revoke", "--recursive", "--url", w.site.url, "--MT-file", w.site.mytoken)
	if err == nil && r.code != 0 {
		err = errors.New(oneLine(r.stderr))
	}
	if err != nil {
		return "", err
	}
	var told string
	for _, file := range []string{w.site.mytoken, w.site.sub} {
		if told, err = w.refused(ctx, file, "storage.create:/vo/results/run7", "invalid_token"); err != nil {
			return "", err
		}
	}
	return told, nil
}
