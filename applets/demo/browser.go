package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// setUpLogin runs gen and plays the browser: it opens the link gen prints and follows it to gen's redirect listener.
func setUpLogin(ctx context.Context, w *world) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.exe, "gen", loginName, "--issuer", w.issuer, "--flow", "code", "--no-url-call",
		"--prompt", "none", "--scope", "openid profile offline_access wlcg.groups storage.read:/ compute.create")
	cmd.Env, cmd.Dir = w.environment(), w.dir
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start gen: %w", err)
	}
	said, browseErr := browseLink(ctx, pipe, w.issuer)
	if err := cmd.Wait(); err != nil {
		return "", fmt.Errorf("gen: %w: %s", errors.Join(err, browseErr), oneLine(said))
	}
	return "registered a client, logged in as alice", browseErr
}

// browseLink reads what gen says until it ends, and opens the first link to the provider on the way.
func browseLink(ctx context.Context, said io.Reader, issuer string) (string, error) {
	link := regexp.MustCompile(regexp.QuoteMeta(issuer) + `/\S+`)
	return openLink(said, link, func(url string) error { return browse(ctx, url) })
}

// openLink reads what a program says until it ends, and opens the first link of a kind on the way.
func openLink(said io.Reader, link *regexp.Regexp, open func(url string) error) (string, error) {
	var (
		all     strings.Builder
		err     error
		visited bool
	)
	lines := bufio.NewScanner(io.LimitReader(said, 1<<20))
	for lines.Scan() {
		fmt.Fprintln(&all, lines.Text())
		if u := link.FindString(lines.Text()); u != "" && !visited {
			visited = true
			err = open(u)
		}
	}
	if !visited {
		return all.String(), errors.New("it printed no link")
	}
	return all.String(), err
}

// browse follows redirects with cookies, as a browser would, to the page that says it is done.
func browse(ctx context.Context, url string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Jar: jar, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return fmt.Errorf("open the login page: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the login ended with %s", resp.Status)
	}
	return nil
}
