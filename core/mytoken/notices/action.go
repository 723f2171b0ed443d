package notices

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store"
)

// Paths that are served.
const (
	PathActions = "/actions"
	PathFeed    = "/calendars"
	pathNotify  = "/api/v0/notifications"
	pathEmail   = "/api/v0/settings/email"
)

// maxForm bounds the body of a POST to an action: there is nothing in it that matters.
const maxForm = 8 << 10

// asking is a question before an action, or what came of it.
type asking struct {
	Title, Text, Button string
	Action, Code        string // of the form, "" for none
}

// The style is allowed by its hash, and nothing else is.
const (
	actionStyle = `body{font:1.05rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem;` +
		`color:#1a1a1a;background:#fff}button{font:inherit;padding:.6rem 1.2rem;border:0;border-radius:.3rem;` +
		`background:#0b5394;color:#fff}@media(prefers-color-scheme:dark){body{color:#f0f0f0;background:#16181c}` +
		`button{background:#9fc5f0;color:#10151c}}`
	actionHTML = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="robots" content="noindex"><title>{{.Title}}</title><style>{{.Style}}</style></head>
<body><main><h1>{{.Title}}</h1><p>{{.Text}}</p>
{{if .Button}}<form method="post" action="/actions"><input type="hidden" name="action" value="{{.Action}}">
<input type="hidden" name="code" value="{{.Code}}"><button>{{.Button}}</button></form>{{end}}
</main></body></html>
`
)

var actionTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("action").Parse(actionHTML))
})

// serveAction answers links from mails. A GET only asks, or leads to a page on which a mytoken can be made: programs
// open links to look at them. A POST acts; whoever has the code may, so that the button of a mail program for ending
// mails (RFC 8058) works, which sends no more than that.
func (n *Notices) serveAction(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		return httpd.Refuse(http.StatusMethodNotAllowed, "invalid_request", "only GET and POST")
	}
	action, code := r.URL.Query().Get("action"), r.URL.Query().Get("code")
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			return httpd.Refuse(http.StatusBadRequest, "invalid_request", "the form cannot be read")
		}
		if code == "" { // of the page; the URL has them when a mail program posts
			action, code = r.PostForm.Get("action"), r.PostForm.Get("code")
		}
	}
	p := purpose(action)
	if p == forRecreating {
		return n.recreate(w, r, code)
	}
	q, known := question(p)
	if !known {
		return n.showAction(w, http.StatusBadRequest, asking{Title: "Unknown action", Text: "The link is not complete."})
	}
	if r.Method != http.MethodPost {
		return n.ask(w, r, q, p, code)
	}
	switch err := n.act(r.Context(), p, code); {
	case errors.Is(err, ErrUnknown):
		return n.overAction(w)
	case err != nil:
		return err
	}
	return n.showAction(w, http.StatusOK, asking{Title: "Done", Text: done(p)})
}

func question(p purpose) (asking, bool) {
	switch p {
	case forConfirming:
		return asking{
			Title: "Confirm your mail address", Button: "Confirm",
			Text: "Mails about your mytokens will go to the address that this link was sent to.",
		}, true
	case forMuting:
		return asking{
			Title: "No more mails about the end of this mytoken?", Button: "No more of them",
			Text: "Other mails, and those about other mytokens, go on.",
		}, true
	case forUnsubscribe:
		return asking{
			Title: "End this notification?", Button: "End it",
			Text: "No more mails will come from it. Others that you have asked for go on.",
		}, true
	case forRemoving:
		return asking{
			Title: "Take the mytoken out of the calendar?", Button: "Take it out",
			Text: "The mytoken itself goes on as it is.",
		}, true
	}
	return asking{}, false
}

func done(p purpose) string {
	switch p {
	case forConfirming:
		return "Your mail address is confirmed."
	case forMuting:
		return "The end of this mytoken will not be announced any more."
	case forUnsubscribe:
		return "The notification is ended."
	}
	return "The mytoken is no longer in the calendar."
}

// ask shows the question, if the code is good for anything.
func (n *Notices) ask(w http.ResponseWriter, r *http.Request, q asking, p purpose, code string) error {
	err := n.o.Engine.View(r.Context(), func(tx store.Tx) error {
		_, err := n.look(tx, code, p)
		return err
	})
	if errors.Is(err, ErrUnknown) {
		return n.overAction(w)
	}
	if err != nil {
		return err
	}
	q.Action, q.Code = string(p), code
	return n.showAction(w, http.StatusOK, q)
}

func (n *Notices) overAction(w http.ResponseWriter) error {
	return n.showAction(w, http.StatusNotFound, asking{
		Title: "This link is over", Text: "It was used, or it is too old, or what it is about is gone.",
	})
}

func (n *Notices) showAction(w http.ResponseWriter, status int, a asking) error {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+styleHash()+
		"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	err := actionTemplate().Execute(w, struct {
		asking
		Style template.CSS
	}{a, actionStyle})
	_ = err // that the reader has gone away is not ours to report
	return nil
}

// act does what a code is good for. ErrUnknown.
func (n *Notices) act(ctx context.Context, p purpose, code string) error {
	switch p {
	case forConfirming:
		return n.confirm(ctx, code)
	case forUnsubscribe:
		return n.end(ctx, code, forUnsubscribe)
	case forMuting:
		return n.mute(ctx, code)
	case forRemoving:
		var c *codeRecord
		err := n.o.Engine.View(ctx, func(tx store.Tx) (err error) {
			c, err = n.look(tx, code, forRemoving)
			return err
		})
		if err == nil {
			_, err = n.leave(ctx, c.User, c.Calendar, c.MOMID)
		}
		return err
	}
	return ErrUnknown
}

// mute ends the announcements of the end of a mytoken. To do it again does no harm.
func (n *Notices) mute(ctx context.Context, code string) error {
	return n.o.Engine.Update(ctx, func(tx store.WTx) error {
		c, err := n.look(tx, code, forMuting)
		if err != nil {
			return err
		}
		r, err := getForUpdate[tokenRecord](tx, kindToken, c.User, c.MOMID)
		if err != nil {
			return err
		}
		r.Muted = true
		return saveToken(tx, c.User, c.MOMID, r)
	})
}

// styleHash names the style in the policy of the page.
var styleHash = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(actionStyle))
	return base64.StdEncoding.EncodeToString(sum[:])
})

// later moves a time that is set.
func later(m mytoken.Moment, by time.Duration) mytoken.Moment {
	if t, ok := m.Time(); ok && !m.IsZero() {
		return mytoken.At(t.Add(by))
	}
	return m
}

// wanted is a request for a mytoken, as the page that makes them reads it.
type wanted struct {
	Issuer       string `json:"oidc_issuer,omitempty"`
	Name         string `json:"name,omitempty"`
	Capabilities any    `json:"capabilities,omitempty"`
	Restrictions any    `json:"restrictions,omitempty"`
	Rotation     any    `json:"rotation,omitempty"`
}

// recreate leads to the page where a mytoken like that of a code can be made, with its times moved to now.
func (n *Notices) recreate(w http.ResponseWriter, r *http.Request, code string) error {
	b, err := n.again(r.Context(), code)
	if errors.Is(err, ErrUnknown) {
		return n.overAction(w)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, n.base+"/?r="+base64.RawURLEncoding.EncodeToString(b)+"#mt", http.StatusSeeOther)
	return nil
}

func (n *Notices) again(ctx context.Context, code string) ([]byte, error) {
	var c *codeRecord
	err := n.o.Engine.View(ctx, func(tx store.Tx) (err error) {
		c, err = n.look(tx, code, forRecreating)
		return err
	})
	if err != nil {
		return nil, err
	}
	t, err := n.own(ctx, c.User, c.MOMID)
	if err != nil {
		return nil, err
	}
	u, err := n.o.Tokens.User(ctx, c.User)
	if errors.Is(err, ledger.ErrUnknown) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	age := n.now().Sub(t.Created).Truncate(time.Second)
	q := wanted{Issuer: u.Issuer, Name: t.Name, Capabilities: t.Capabilities}
	if len(t.Restrictions) > 0 {
		moved := slices.Clone(t.Restrictions)
		for i := range moved {
			moved[i].NotBefore = later(moved[i].NotBefore, age)
			moved[i].Expires = later(moved[i].Expires, age)
		}
		q.Restrictions = moved
	}
	if t.Rotation != nil {
		q.Rotation = t.Rotation
	}
	b, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("write a request for a mytoken: %w", err)
	}
	return b, nil
}
