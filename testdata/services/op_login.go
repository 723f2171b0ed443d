package services

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	loginSteps = 20
	maxPage    = 1 << 20
)

// Login is a browser without a browser: it opens an authorization URL, signs in as user ("deny" refuses) and returns
// the final redirect without calling it. On failure the test gets an error and the answer is "". It may run beside the
// test's own goroutine.
func (p *Provider) Login(authURL, user string) string {
	p.tb.Helper()
	final, err := p.visit(authURL, user)
	if err == nil && final == "" {
		err = fmt.Errorf("the provider showed a page instead of redirecting")
	}
	if err != nil {
		p.tb.Errorf("log in as %s: %v", user, err)
	}
	return final
}

// ApproveDevice opens a verification URI with the code in it and approves as user; "deny" refuses.
func (p *Provider) ApproveDevice(verificationURIComplete, user string) {
	p.tb.Helper()
	if _, err := p.visit(verificationURIComplete, user); err != nil && user != "deny" {
		p.tb.Errorf("approve the device as %s: %v", user, err)
	}
}

// visit follows redirects inside the provider and submits its forms, until it is sent elsewhere (the URL is returned)
// or reads that all is done ("").
func (p *Provider) visit(start, user string) (string, error) {
	hc, err := p.browser(user)
	if err != nil {
		return "", err
	}
	defer hc.CloseIdleConnections()
	resp, err := hc.Get(start)
	for range loginSteps {
		if err != nil {
			return "", err
		}
		s, stepErr := read(resp, user)
		if stepErr != nil || s.to == nil {
			return "", stepErr
		}
		switch home := strings.HasPrefix(s.to.String(), p.Issuer+"/"); {
		case !home:
			return s.to.String(), nil
		case s.form == nil:
			resp, err = hc.Get(s.to.String())
		default:
			resp, err = hc.PostForm(s.to.String(), s.form)
		}
	}
	return "", fmt.Errorf("more than %d steps", loginSteps)
}

// browser keeps cookies and is known to the provider as user.
func (p *Provider) browser(user string) (*http.Client, error) {
	issuer, err := url.Parse(p.Issuer)
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	jar.SetCookies(issuer, []*http.Cookie{{Name: "op_user", Value: user, Path: "/"}})
	hc := p.client()
	hc.Jar = jar
	return hc, nil
}

// step is where an answer leads: a redirect, or a form to submit; to is nil at the end.
type step struct {
	to   *url.URL
	form url.Values
}

func read(resp *http.Response, user string) (step, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return step{}, err
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		to, err := resp.Location()
		return step{to: to}, err
	}
	if resp.StatusCode != http.StatusOK {
		return step{}, fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	action, fields := form(string(body), user)
	if fields == nil {
		return step{}, done(string(body))
	}
	to, err := resp.Request.URL.Parse(action)
	return step{to: to, form: fields}, err
}

// form reads the first form of a page, hidden fields as they are; nil when there is none.
func form(page, user string) (action string, fields url.Values) {
	_, inside, ok := strings.Cut(page, "<form")
	if !ok {
		return "", nil
	}
	inside, _, _ = strings.Cut(inside, "</form>")
	attribute := func(tag, name string) string {
		_, v, _ := strings.Cut(tag, " "+name+`="`)
		v, _, _ = strings.Cut(v, `"`)
		return html.UnescapeString(v)
	}
	fields = url.Values{}
	for _, tag := range regexp.MustCompile(`<input[^>]*>`).FindAllString(inside, -1) {
		if n := attribute(tag, "name"); n != "" && attribute(tag, "type") == "hidden" {
			fields.Set(n, attribute(tag, "value"))
		}
		if attribute(tag, "name") == "login" {
			fields.Set("login", user)
			fields.Set("password", "x")
		}
	}
	return attribute(inside, "action"), fields
}

func done(page string) error {
	for _, mark := range []string{"success", "signed-in", "continue on your device"} {
		if strings.Contains(strings.ToLower(page), mark) {
			return nil
		}
	}
	return fmt.Errorf("no success on the page: %s", page)
}

// client knows the CA of the provider and follows no redirects.
func (p *Provider) client() *http.Client {
	t := &http.Transport{}
	if p.CAFile != "" {
		if pem, err := os.ReadFile(p.CAFile); err == nil {
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(pem)
			t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		}
	}
	return &http.Client{
		Transport: t, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// lockedBuffer keeps what a child prints.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
