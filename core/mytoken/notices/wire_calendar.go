package notices

import (
	"net/http"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/httpapi"
)

// calendarJSON is a calendar on the wire: by name for older clients, by id and description for newer ones.
type calendarJSON struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Path        string   `json:"ics_path"`
	Description string   `json:"description,omitempty"`
	Tags        []string `json:"tags"`
	Tokens      []string `json:"subscribed_tokens,omitempty"`
}

func (n *Notices) calendarJSON(r calendarRecord) calendarJSON {
	return calendarJSON{
		ID: r.ID, Name: r.title(), Path: n.feedURL(r.ID), Description: r.Name, Tags: append([]string{}, r.Tags...),
		Tokens: momIDs(r.Tokens),
	}
}

func (n *Notices) listCalendars(c *httpapi.Call) (httpapi.Answer, error) {
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		all, update, err := n.calendarsFor(c.Context(), who)
		out := make([]calendarJSON, len(all))
		for i, r := range all {
			out[i] = n.calendarJSON(r)
		}
		return httpapi.Answer{Body: map[string]any{"calendars": out}, Update: update}, err
	})
}

func (n *Notices) createCalendar(c *httpapi.Call) (httpapi.Answer, error) {
	var name, description string
	err := c.Body.Texts(map[string]*string{"name": &name, "description": &description})
	if err != nil {
		return httpapi.Answer{}, err
	}
	tags, err := readTags(c.Body)
	if err != nil {
		return httpapi.Answer{}, err
	}
	unique := name != ""
	if !unique {
		name = description
	}
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		r, update, err := n.makeCalendar(c.Context(), who, name, tags, unique)
		return httpapi.Answer{Status: http.StatusCreated, Body: n.calendarJSON(r), Update: update}, err
	})
}

// showCalendar leads to the feed. With a mytoken a name is good as well as the id; the id is known to its owner only.
func (n *Notices) showCalendar(c *httpapi.Call) (httpapi.Answer, error) {
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		var to calendarRecord
		update, err := n.with(c.Context(), who, capReadNotify, func(v Visit) (event, comment string, err error) {
			to, err = n.calendar(c.Context(), v.User(), c.PathValue("calendar"))
			return eventCalListed, to.Name, err
		})
		if err != nil {
			return httpapi.Answer{}, err
		}
		return httpapi.Answer{
			Status: http.StatusFound, Body: n.calendarJSON(to), Update: update,
			Header: http.Header{"Location": {n.feedURL(to.ID)}},
		}, nil
	})
}

func (n *Notices) enterCalendar(c *httpapi.Call) (httpapi.Answer, error) {
	var momID, comment string
	if err := c.Body.Texts(map[string]*string{"mom_id": &momID, "comment": &comment}); err != nil {
		return httpapi.Answer{}, err
	}
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		r, update, err := n.subscribeCalendar(c.Context(), who, c.PathValue("calendar"), momID, comment)
		return httpapi.Answer{Body: n.calendarJSON(r), Update: update}, err
	})
}

func (n *Notices) editCalendar(c *httpapi.Call) (httpapi.Answer, error) {
	var name, description string
	if err := c.Body.Texts(map[string]*string{"name": &name, "description": &description}); err != nil {
		return httpapi.Answer{}, err
	}
	tags, err := readTags(c.Body)
	if err != nil {
		return httpapi.Answer{}, err
	}
	var to *string
	switch {
	case c.Body.Has("description"):
		to = &description
	case c.Body.Has("name"):
		to = &name
	}
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		_, update, err := n.updateCalendar(c.Context(), who, c.PathValue("calendar"), to, tags)
		return httpapi.Answer{Update: update}, err
	})
}

// leaveCalendar deletes a calendar; with a mytoken in the body it takes that out of it.
func (n *Notices) leaveCalendar(c *httpapi.Call) (httpapi.Answer, error) {
	momID, err := c.Body.Text("mom_id")
	if err != nil {
		return httpapi.Answer{}, err
	}
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		if momID != "" {
			update, err := n.unsubscribeCalendar(c.Context(), who, c.PathValue("calendar"), momID)
			return httpapi.Answer{Update: update}, err
		}
		update, err := n.RemoveCalendar(c.Context(), who, c.PathValue("calendar"))
		return httpapi.Answer{Update: update}, err
	})
}

func (n *Notices) showEmail(c *httpapi.Call) (httpapi.Answer, error) {
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		e, update, err := n.Email(c.Context(), who)
		return httpapi.Answer{Body: map[string]any{
			"email_address": e.Address, "email_verified": e.Verified, "prefer_html_mail": e.HTML,
		}, Update: update}, err
	})
}

func (n *Notices) editEmail(c *httpapi.Call) (httpapi.Answer, error) {
	address, err := c.Body.Text("email_address")
	if err != nil {
		return httpapi.Answer{}, err
	}
	html, err := c.Body.OptionalFlag("prefer_html_mail")
	if err != nil {
		return httpapi.Answer{}, err
	}
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		update, err := n.setEmail(c.Context(), who, address, html)
		return httpapi.Answer{Update: update}, err
	})
}
