package httpapi

import (
	"maps"
	"net/http"
	"slices"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
)

func (a *API) templateRoutes() []Route {
	if !a.o.Features.Templates || a.o.Templates == nil {
		return nil
	}
	all := []Route{{Method: http.MethodGet, Path: pathTemplates, API: a.templateGroups}}
	// Without a group it is the default one.
	for _, path := range []string{pathTemplates + "/{kind}", pathTemplates + "/{group}/{kind}"} {
		all = append(all,
			Route{Method: http.MethodGet, Path: path, API: a.templates},
			Route{Method: http.MethodPost, Path: path, API: a.addTemplate})
	}
	// /pt/<kind>/<id> and /pt/<group>/<kind> look alike: which it is says the method.
	for _, path := range []string{pathTemplates + "/{kind}/{id}", pathTemplates + "/{group}/{kind}/{id}"} {
		all = append(all,
			Route{Method: http.MethodPut, Path: path, API: a.replaceTemplate},
			Route{Method: http.MethodDelete, Path: path, API: a.removeTemplate})
	}
	return all
}

func (a *API) templateGroups(*Call) (Answer, error) {
	groups := map[string]bool{mytoken.DefaultGroup: true}
	for name := range a.o.Groups {
		groups[name] = true
	}
	return Answer{Body: slices.Sorted(maps.Keys(groups))}, nil
}

// shelf is where templates of one kind of one group are.
type shelf struct{ group, kind string }

func (c *Call) shelf() (shelf, error) {
	s := shelf{c.PathValue("group"), c.PathValue("kind")}
	if s.group == "" {
		s.group = mytoken.DefaultGroup
	}
	if !desk.TemplateKind(s.kind) {
		return s, refuse(http.StatusNotFound, desk.CodeNotFound, c.Request.URL.Path)
	}
	return s, nil
}

func (a *API) templates(c *Call) (Answer, error) {
	s, err := c.shelf()
	if err != nil {
		return Answer{}, err
	}
	all, err := a.o.Templates.List(c.Context(), s.group, s.kind)
	return Answer{Body: all}, err
}

// unlock is shelf for who has shown to be of the group.
func (a *API) unlock(c *Call) (shelf, error) {
	s, err := c.shelf()
	if err != nil {
		return s, err
	}
	name, err := a.basic(c, a.o.Groups)
	if err == nil && name != s.group {
		err = refuse(http.StatusForbidden, "Forbidden", "this is another group's")
	}
	return s, err
}

// basic checks the name and password of a request against those that are known, and returns the name. Wrong ones are
// counted by address.
func (a *API) basic(c *Call, known map[string]secret.Text) (string, error) {
	no := refuse(http.StatusUnauthorized, codeUnauthorized, "")
	name, password, ok := c.Request.BasicAuth()
	if !ok {
		return "", no
	}
	if err := a.o.Gate.Blocked(c.Origin.Client); err != nil {
		return "", err
	}
	given := secret.FromString(password)
	defer given.Wipe()
	want, there := known[name]
	if there && !want.Empty() && want.Equal(given) {
		return name, nil
	}
	a.o.Log.InfoContext(c.Context(), "a wrong name or password", "req", RequestID(c.Context()), "op", opOf(c.Request),
		"address", c.Origin.Client)
	if err := a.o.Gate.Guess(c.Origin.Client); err != nil {
		return "", err
	}
	return "", no
}

// codeUnauthorized is what the original answers without a password with.
const codeUnauthorized = "Unauthorized"

func templateOf(b Body) (t mytoken.Template, err error) {
	t.Name, err = b.Text("name")
	t.Payload = b.Raw("payload")
	return t, err
}

func (a *API) addTemplate(c *Call) (Answer, error) {
	s, err := a.unlock(c)
	if err != nil {
		return Answer{}, err
	}
	t, err := templateOf(c.Body)
	if err != nil {
		return Answer{}, err
	}
	if t, err = a.o.Templates.Add(c.Context(), s.group, s.kind, t); err != nil {
		return Answer{}, err
	}
	a.note(c, "template was added", s, t.ID)
	return Answer{Status: http.StatusCreated}, nil
}

func (a *API) replaceTemplate(c *Call) (Answer, error) {
	s, err := a.unlock(c)
	if err != nil {
		return Answer{}, err
	}
	t, err := templateOf(c.Body)
	if err != nil {
		return Answer{}, err
	}
	t.ID = c.PathValue("id")
	if t, err = a.o.Templates.Replace(c.Context(), s.group, s.kind, t); err != nil {
		return Answer{}, err
	}
	a.note(c, "template was changed", s, t.ID)
	return Answer{Body: t}, nil
}

func (a *API) removeTemplate(c *Call) (Answer, error) {
	s, err := a.unlock(c)
	if err != nil {
		return Answer{}, err
	}
	id := c.PathValue("id")
	if err := a.o.Templates.Remove(c.Context(), s.group, s.kind, id); err != nil {
		return Answer{}, err
	}
	a.note(c, "template was removed", s, id)
	return Answer{}, nil
}

// note writes into the log who has changed what all people use.
func (a *API) note(c *Call, what string, s shelf, id string) {
	a.o.Log.InfoContext(c.Context(), what, "req", RequestID(c.Context()), "group", s.group, "kind", s.kind, "id", id,
		"address", c.Origin.Client)
}
