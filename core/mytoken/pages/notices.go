package pages

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
)

func (p *Pages) routeNotices(get, post func(string, reply)) {
	post("/settings/notify", p.notify)
	post("/settings/calendar", p.addCalendar)
	post("/settings/calendar/remove", p.removeCalendar)
	get("/home/notify", p.askNotify)
	post("/home/notify", p.notifyOne)
	get("/calendars/{id}/view", p.calendar)
	get("/notifications/{code}", p.notification)
	post("/notifications/{code}", p.manage)
}

// subscription is a notification in a list.
type subscription struct {
	Type, Manage string // Manage: path of its page
	Classes      []string
	UserWide     bool
	Count        int // of mytokens it is about
}

type calendarLine struct {
	ID, Name, View, Feed string
	Count                int
}

// classBoxes are what one can be told of.
func classBoxes(chosen []string) []box {
	var out []box
	for _, c := range []struct{ name, words string }{
		{desk.ClassExpiration, "a mytoken ends soon"},
		{"security", "all that may be a misuse"},
		{desk.ClassIPs, "a mytoken is used from a new address"},
		{desk.ClassRevoked, "a mytoken was revoked"},
		{"security:blocked_usages", "a use was refused"},
		{desk.ClassCapabilities, "a use was refused for want of a capability"},
		{desk.ClassRestrictions, "a use was refused by the restrictions"},
		{desk.ClassRefresh, "the provider does not know a login any more"},
		{desk.ClassSubtoken, "a mytoken was made from another one"},
		{desk.ClassAccess, "an access token was got"},
		{desk.ClassSettings, "settings were changed"},
	} {
		out = append(out, box{
			Name: "class", Value: c.name, Label: c.words, Code: c.name, Checked: slices.Contains(chosen, c.name),
			Deep: strings.Contains(c.name, ":"),
		})
	}
	return out
}

func defaultClasses() []string { return []string{desk.ClassExpiration, "security"} }

func (v *visit) noticeSettings(body *settingsBody, try settingsTry) error {
	o := v.p.o
	if o.Notices == nil {
		return nil
	}
	list, update, err := o.Notices.Notifications(v.r.Context(), v.caller())
	v.renewed(update)
	if err != nil {
		return err
	}
	body.Notices, body.Classes = true, classBoxes(defaultClasses())
	for _, n := range list {
		body.Subscriptions = append(body.Subscriptions, subscription{
			Type: plain(n.Type), Manage: "/notifications/" + url.PathEscape(n.Code.Expose()), Classes: plainAll(n.Classes),
			UserWide: n.UserWide, Count: len(n.MOMIDs),
		})
	}
	calendars, update, err := o.Notices.Calendars(v.r.Context(), v.caller())
	v.renewed(update)
	if err != nil {
		return err
	}
	for _, c := range calendars {
		id := c.ID
		if id == "" {
			id = c.Name
		}
		body.Calendars = append(body.Calendars, calendarLine{
			ID: id, Name: plain(c.Name), View: "/calendars/" + url.PathEscape(c.ID) + "/view", Feed: c.URL, Count: len(c.MOMIDs),
		})
	}
	body.Calendar = input{
		Name: "calendar", Label: "Name of a new calendar", Type: "text", Max: maxName, Required: true, Off: true,
		Error: try.calendar,
	}
	return nil
}

func plainAll(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, plain(s))
	}
	return out
}

// classesOf is what a form says that one wants to be told.
func (v *visit) classesOf() []string {
	var out []string
	for _, b := range classBoxes(v.form["class"]) {
		if b.Checked {
			out = append(out, b.Value)
		}
	}
	return out
}

func (p *Pages) notify(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	classes := v.classesOf()
	if len(classes) == 0 {
		return v.settings(http.StatusUnprocessableEntity, settingsTry{other: "Choose what you want to be told."})
	}
	update, err := p.o.Notices.Notify(v.r.Context(), v.caller(), mytoken.NotificationRequest{
		Type: mytoken.NotifyMail, Classes: classes, UserWide: true,
	})
	return v.changed(update, err, "You will get mails about all your mytokens.", otherProblem)
}

func (p *Pages) addCalendar(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	name := strings.TrimSpace(v.form.Get("calendar"))
	fail := func(problem string) settingsTry { return settingsTry{calendar: problem} }
	if name == "" || len(name) > maxName {
		return v.settings(http.StatusUnprocessableEntity, fail("Give it a name."))
	}
	update, err := p.o.Notices.AddCalendar(v.r.Context(), v.caller(), name)
	return v.changed(update, err, "The calendar is there.", fail)
}

func (p *Pages) removeCalendar(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	update, err := p.o.Notices.RemoveCalendar(v.r.Context(), v.caller(), v.form.Get("id"))
	return v.changed(update, err, "The calendar is deleted.", otherProblem)
}

// notifyBody asks what a person wants to be told of one mytoken.
type notifyBody struct {
	Node      node
	Classes   []box
	Calendars []calendarLine
}

func (p *Pages) askNotify(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	return v.notifyPage(http.StatusOK, v.r.URL.Query().Get("mom_id"), "", "")
}

func (v *visit) notifyPage(status int, id, notice, problem string) error {
	if v.p.o.Mytokens == nil {
		return nowhere()
	}
	trees, update, err := v.p.o.Mytokens.List(v.r.Context(), v.caller())
	v.renewed(update)
	if err != nil {
		return err
	}
	n, ok := findNode(trees, id)
	if !ok {
		return nowhere()
	}
	var lines settingsBody
	if err := v.noticeSettings(&lines, settingsTry{}); err != nil {
		return err
	}
	body := notifyBody{Node: v.node(n, v.me()), Classes: classBoxes(defaultClasses()), Calendars: lines.Calendars}
	return v.show(status, "notify", sheet{
		Title: "Be told about a mytoken", Nav: "home", Notice: notice,
		Problem: problem, Body: body,
	})
}

func (p *Pages) notifyOne(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	ctx, id := v.r.Context(), v.form.Get("mom_id")
	var update *desk.Issued
	var err error
	switch do := v.form.Get("do"); do {
	case "calendar":
		update, err = p.o.Notices.Subscribe(ctx, v.caller(), v.form.Get("calendar"), id)
	case mytoken.NotifyMail, mytoken.NotifyInvite:
		update, err = p.o.Notices.Notify(ctx, v.caller(), mytoken.NotificationRequest{
			Type: do, MOMID: id, Classes: v.classesOf(), IncludeChildren: v.form.Get("children") == "1",
		})
	default:
		err = &desk.Error{Status: http.StatusBadRequest, Code: desk.CodeRequest, Description: "nothing is asked for"}
	}
	v.renewed(update)
	if problem, ok := refused(err); ok && !endedSession(err) {
		return v.notifyPage(http.StatusUnprocessableEntity, id, "", problem)
	}
	if err != nil {
		return err
	}
	return v.notifyPage(http.StatusOK, id, "Done.", "")
}

func (p *Pages) calendar(v *visit) error {
	c, err := p.o.Notices.View(v.r.Context(), v.r.PathValue("id"))
	if err != nil {
		return err
	}
	c.Name = plain(c.Name)
	for i := range c.Entries {
		c.Entries[i].Name = plain(c.Entries[i].Name)
	}
	return v.show(http.StatusOK, "calendar", sheet{Title: "When mytokens end", Body: c})
}

// manageBody is the page of one notification, for whoever has its code.
type manageBody struct {
	Type     string
	UserWide bool
	Count    int
	Classes  []box
	Ended    bool
}

func (p *Pages) notification(v *visit) error { return v.managePage(http.StatusOK, "", "") }

func (v *visit) managePage(status int, notice, problem string) error {
	n, err := v.p.o.Notices.Notification(v.r.Context(), secret.FromString(v.r.PathValue("code")))
	if err != nil {
		return err
	}
	return v.show(status, "notification", sheet{Title: "Notification", Notice: notice, Problem: problem, Body: manageBody{
		Type: plain(n.Type), UserWide: n.UserWide, Count: len(n.MOMIDs), Classes: classBoxes(n.Classes),
	}})
}

func (p *Pages) manage(v *visit) error {
	code := secret.FromString(v.r.PathValue("code"))
	if v.form.Get("do") == "end" {
		if err := p.o.Notices.End(v.r.Context(), code); err != nil {
			return err
		}
		return v.show(http.StatusOK, "notification", sheet{
			Title: "Notification", Notice: "You will not be told any more.",
			Body: manageBody{Ended: true},
		})
	}
	classes := v.classesOf()
	if len(classes) == 0 {
		return v.managePage(http.StatusUnprocessableEntity, "", "Choose what you want to be told, or end the notification.")
	}
	err := p.o.Notices.SetClasses(v.r.Context(), code, classes)
	if problem, ok := refused(err); ok {
		return v.managePage(http.StatusUnprocessableEntity, "", problem)
	}
	if err != nil {
		return err
	}
	return v.managePage(http.StatusOK, "Changed.", "")
}
