package httpapi

import (
	"net/http"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
)

const (
	pathGrants  = pathSettings + "/grants"
	pathEmail   = pathSettings + "/email"
	pathTagList = pathSettings + "/tags"
	pathTag     = pathTagList + "/{tag}"
)

func (a *API) settingsRoutes() []Route {
	return []Route{
		{Method: http.MethodGet, Path: pathGrants, API: a.grants},
		{Method: http.MethodPost, Path: pathGrants, API: a.setGrant(true), Forms: true},
		{Method: http.MethodDelete, Path: pathGrants, API: a.setGrant(false), Forms: true},
		{Method: http.MethodGet, Path: pathTagList, API: a.tags},
		{Method: http.MethodPost, Path: pathTag, API: a.addTag, Forms: true},
		{Method: http.MethodPut, Path: pathTag, API: a.changeTag, Forms: true},
		{Method: http.MethodDelete, Path: pathTag, API: a.removeTag, Forms: true},
		{Method: http.MethodPost, Path: pathTags, API: a.tagging(false), Forms: true},
		{Method: http.MethodDelete, Path: pathTags, API: a.tagging(true), Forms: true},
	}
}

type grant struct {
	Type    string `json:"grant_type"`
	Enabled bool   `json:"enabled"`
}

func (a *API) grants(c *Call) (Answer, error) {
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	all, update, err := a.o.Desk.Grants(c.Context(), who)
	if err != nil {
		return Answer{}, err
	}
	out := make([]grant, 0, len(all))
	for _, g := range all {
		out = append(out, grant{g.Type, g.Enabled})
	}
	return Answer{Body: map[string][]grant{"grant_types": out}, Update: update}, nil
}

func (a *API) setGrant(enabled bool) Endpoint {
	return func(c *Call) (Answer, error) {
		name, err := c.grant()
		if err != nil {
			return Answer{}, err
		}
		who, err := c.Caller()
		if err != nil {
			return Answer{}, err
		}
		defer who.Mytoken.Wipe()
		update, err := a.o.Desk.SetGrant(c.Context(), who, name, enabled)
		if err != nil {
			return Answer{}, err
		}
		out := Answer{Update: update}
		if enabled {
			out.Status = http.StatusCreated
		}
		return out, nil
	}
}

// tag is one of a person, or one on a mytoken.
type tag struct {
	Tag      string `json:"tag"`
	Color    string `json:"color"`
	Children *bool  `json:"include_children,omitempty"`
}

func (a *API) tags(c *Call) (Answer, error) {
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	all, update, err := a.o.Desk.Tags(c.Context(), who)
	if err != nil {
		return Answer{}, err
	}
	out := make([]tag, 0, len(all))
	for _, t := range all {
		out = append(out, tag{Tag: t.Name, Color: t.Color})
	}
	return Answer{Body: map[string][]tag{"tags": out}, Update: update}, nil
}

// changed is a request that says nothing but that it was done.
func (c *Call) changed(do func(who desk.Caller) (*desk.Issued, error)) (Answer, error) {
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	update, err := do(who)
	return Answer{Update: update}, err
}

func (a *API) addTag(c *Call) (Answer, error) {
	t := mytoken.Tag{Name: c.PathValue("tag")}
	var err error
	if t.Color, err = c.Body.Text("color"); err != nil {
		return Answer{}, err
	}
	return c.changed(func(who desk.Caller) (*desk.Issued, error) { return a.o.Desk.AddTag(c.Context(), who, t) })
}

func (a *API) changeTag(c *Call) (Answer, error) {
	var to mytoken.Tag
	if err := c.Body.Texts(map[string]*string{"tag": &to.Name, "color": &to.Color}); err != nil {
		return Answer{}, err
	}
	return c.changed(func(who desk.Caller) (*desk.Issued, error) {
		return a.o.Desk.ChangeTag(c.Context(), who, c.PathValue("tag"), to)
	})
}

func (a *API) removeTag(c *Call) (Answer, error) {
	return c.changed(func(who desk.Caller) (*desk.Issued, error) {
		return a.o.Desk.RemoveTag(c.Context(), who, c.PathValue("tag"))
	})
}

func (a *API) tagging(remove bool) Endpoint {
	return func(c *Call) (Answer, error) {
		t := mytoken.Tagging{Remove: remove}
		err := c.Body.Texts(map[string]*string{"tag": &t.Tag, "mom_id": &t.MOMID})
		if err == nil {
			t.IncludeChildren, err = c.Body.Flag("include_children")
		}
		if err != nil {
			return Answer{}, err
		}
		return c.changed(func(who desk.Caller) (*desk.Issued, error) { return a.o.Desk.Tag(c.Context(), who, t) })
	}
}
