package demo

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// form is what a browser would send when a button of a page is pressed.
type form struct {
	action *url.URL
	values url.Values
}

var errNoForm = errors.New("the page has no such form")

// readForm returns the form of a page that is posted to a path, as it is filled in. The pages are well-formed, so that a
// reader of XML that is not strict will do.
func readForm(page *url.URL, body io.Reader, path string) (form, error) {
	dec := xml.NewDecoder(body)
	dec.Strict, dec.AutoClose, dec.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	f := form{values: url.Values{}}
	textarea, choice := "", ""
	for {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return f, errNoForm
		}
		if err != nil {
			return f, fmt.Errorf("read the page: %w", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			a := attributes(t)
			switch {
			case t.Name.Local == "form":
				to, err := page.Parse(a["action"])
				if err == nil && strings.HasPrefix(to.Path, path) {
					f.action = to
				}
			case f.action != nil && t.Name.Local == "input":
				f.input(a)
			case f.action != nil && t.Name.Local == "textarea":
				textarea = a["name"]
			case f.action != nil && t.Name.Local == "select":
				choice = a["name"]
			case choice != "" && t.Name.Local == "option":
				f.option(choice, a)
			}
		case xml.CharData:
			if textarea != "" {
				f.values.Add(textarea, string(t))
			}
		case xml.EndElement:
			switch {
			case t.Name.Local == "textarea":
				textarea = ""
			case t.Name.Local == "select":
				choice = ""
			case t.Name.Local == "form" && f.action != nil:
				return f, nil
			}
		}
	}
}

func attributes(t xml.StartElement) map[string]string {
	all := map[string]string{}
	for _, a := range t.Attr {
		all[a.Name.Local] = a.Value
	}
	return all
}

func (f form) input(a map[string]string) {
	_, checked := a["checked"]
	switch kind := a["type"]; {
	case a["name"] == "", kind == "submit", (kind == "checkbox" || kind == "radio") && !checked:
	default:
		f.values.Add(a["name"], a["value"])
	}
}

// option takes the one that is selected, else the first.
func (f form) option(choice string, a map[string]string) {
	if _, selected := a["selected"]; selected || !f.values.Has(choice) {
		f.values.Set(choice, a["value"])
	}
}

// press posts a form with a button, and returns the page that follows.
func (f form) press(ctx context.Context, b *http.Client, button, value string) (*http.Response, error) {
	f.values.Set(button, value)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.action.String(), strings.NewReader(f.values.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", f.action.Scheme+"://"+f.action.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.Do(req)
}

// maxHops is how often a page may send the browser on.
const maxHops = 5

// goOn follows pages that send the browser on by themselves.
func goOn(ctx context.Context, b *http.Client, resp *http.Response) (*http.Response, error) {
	for range maxHops {
		_, to, ok := strings.Cut(resp.Header.Get("Refresh"), "url=")
		if !ok {
			return resp, nil
		}
		page := resp.Request.URL
		_ = resp.Body.Close()
		next, err := page.Parse(to)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, next.String(), nil)
		if err != nil {
			return nil, err
		}
		if resp, err = b.Do(req); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

// problems are what a page says is wrong, the whole page where it says nothing so.
func problems(page string) string {
	said := ""
	for rest := page; ; {
		_, after, ok := strings.Cut(rest, `class="error"`)
		if !ok {
			break
		}
		_, after, _ = strings.Cut(after, ">")
		text, _, _ := strings.Cut(after, "</div>")
		said, rest = said+" "+text, after
	}
	if said == "" {
		return page
	}
	return said
}

// agree opens a consent page, reads what is asked for, and allows it; the login at the provider follows.
func (w *world) agree(ctx context.Context, page string) (asked string, err error) {
	b, err := w.browser()
	if err != nil {
		return "", err
	}
	defer b.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return "", err
	}
	resp, err := b.Do(req)
	if err != nil {
		return "", fmt.Errorf("open the consent page: %w", err)
	}
	defer resp.Body.Close()
	var text strings.Builder
	f, err := readForm(resp.Request.URL, io.TeeReader(io.LimitReader(resp.Body, 1<<20), &text), "/c/")
	if err != nil {
		return "", fmt.Errorf("consent page (%s): %w", resp.Status, err)
	}
	landed, err := f.press(ctx, b, "do", "accept")
	if err == nil {
		landed, err = goOn(ctx, b, landed)
	}
	if err != nil {
		return "", fmt.Errorf("allow it and log in: %w", err)
	}
	defer landed.Body.Close()
	if landed.StatusCode != http.StatusOK || landed.Request.URL.Path != "/native" {
		said, _ := io.ReadAll(io.LimitReader(landed.Body, 1<<20))
		return "", fmt.Errorf("the login ended with %s at %s: %s", landed.Status, landed.Request.URL.Path, oneLine(problems(string(said))))
	}
	return text.String(), nil
}
