package pages

import (
	"errors"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/account/approval"
)

// decideBody is the page that a link of a mail to an administrator leads to.
type decideBody struct {
	Link    string
	Request approval.Asked
	When    time.Time
	Done    string // what was decided; "" while nothing is
}

// showDecision shows what is asked for. It decides nothing: programs open links to look whether they are dangerous.
func (p *Pages) showDecision(v *visit) error {
	asked, err := p.o.Office.Look(v.r.Context(), v.r.PathValue("link"))
	if err != nil {
		return asLink(err)
	}
	return v.show(http.StatusOK, "decide", sheet{
		Title: "Somebody asks for an account",
		Body:  decideBody{Link: v.r.PathValue("link"), Request: asked, When: asked.At},
	})
}

// decide is the button. What is decided is what the link is about: where something else is asked for by now, nothing is.
func (p *Pages) decide(v *visit) error {
	accept := v.form.Get("decision") == "accept"
	if !accept && v.form.Get("decision") != "reject" {
		return &fault{status: http.StatusBadRequest, code: codeRequest, err: errors.New("no decision")}
	}
	asked, err := p.o.Office.Decide(v.r.Context(), v.r.PathValue("link"), accept, v.from)
	if err != nil {
		return asLink(asDesk(err))
	}
	title, done := "Rejected", "The request is rejected, and nothing was made."
	if accept {
		title, done = "Accepted", "The request is accepted, and carried out."
	}
	return v.show(http.StatusOK, "decide", sheet{
		Title: title, Notice: done, Body: decideBody{Request: asked, When: asked.At, Done: done},
	})
}
