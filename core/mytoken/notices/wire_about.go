package notices

import (
	"context"
	"slices"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/httpapi"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

// Events of tokeninfo.
const (
	eventInfo      = "tokeninfo_notifications"
	eventInfoOther = "tokeninfo_notifications_other_token"
)

// aboutJSON is what is subscribed for mytokens; with several of them also for each.
type aboutJSON struct {
	Notifications []notificationJSON    `json:"notifications,omitempty"`
	Calendars     []calendarJSON        `json:"calendars,omitempty"`
	Mapping       map[string]*aboutJSON `json:"mom_id_mapping,omitempty"`
}

// maxAsked is how many mytokens one request asks about.
const maxAsked = 100

// About answers the tokeninfo action "notifications": what is subscribed for the mytoken in hand, or for those of
// mom_ids. Those that were not made from the one in hand need the capability for all of the person.
func (n *Notices) About(c *httpapi.Call) (httpapi.Answer, error) {
	ids, err := c.Body.List("mom_ids")
	if err != nil {
		return httpapi.Answer{}, err
	}
	if len(ids) > maxAsked {
		return httpapi.Answer{}, refusal(ErrTooMany)
	}
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		var out aboutJSON
		update, err := n.with(c.Context(), who, "", func(v Visit) (event, comment string, err error) {
			about, err := n.asked(c.Context(), v, ids)
			if err == nil {
				out, err = n.subscribedFor(c.Context(), v.User(), about)
			}
			if len(ids) > 0 {
				return eventInfoOther, "", err
			}
			return eventInfo, "", err
		})
		return httpapi.Answer{Body: out, Update: update}, err
	})
}

// asked returns the mytokens that a request is about, with those they were made from.
func (n *Notices) asked(ctx context.Context, v Visit, ids []string) ([]subject, error) {
	held := v.Claims().Capabilities
	all, mine := rules.Allows(held, capReadNotify), rules.Allows(held, capOwnNotify)
	if !all && !mine {
		return nil, n.incapable(ctx, v)
	}
	if ids = slices.Compact(slices.Sorted(slices.Values(ids))); len(ids) == 0 {
		ids = []string{v.MOMID()}
	}
	tags, err := n.marks(ctx, v.User(), true)
	if err != nil {
		return nil, err
	}
	var about []subject
	for _, m := range ids {
		if m == "this" {
			m = v.MOMID()
		}
		t, err := n.own(ctx, v.User(), m)
		if err != nil {
			return nil, err
		}
		if !all && m != v.MOMID() && !slices.Contains(t.Path, v.MOMID()) {
			return nil, n.incapable(ctx, v)
		}
		about = append(about, subject{m, t.Path, tags(t)})
	}
	return about, nil
}

func (n *Notices) subscribedFor(ctx context.Context, user string, about []subject) (out aboutJSON, err error) {
	subs, err := n.subscriptions(ctx, user)
	if err != nil {
		return out, err
	}
	cals, err := n.calendars(ctx, user)
	if err != nil {
		return out, err
	}
	all := make(map[string]*aboutJSON, len(about))
	for _, a := range about {
		all[a.momID] = &aboutJSON{}
	}
	for i := range subs {
		var found bool
		for _, a := range about {
			if _, ok := subs[i].concerns(a); ok {
				found, all[a.momID].Notifications = true, append(all[a.momID].Notifications, subs[i].json())
			}
		}
		if found {
			out.Notifications = append(out.Notifications, subs[i].json())
		}
	}
	for _, k := range cals {
		var found bool
		for _, a := range about {
			if k.has(a) {
				found, all[a.momID].Calendars = true, append(all[a.momID].Calendars, n.calendarJSON(k))
			}
		}
		if found {
			out.Calendars = append(out.Calendars, n.calendarJSON(k))
		}
	}
	if len(all) > 1 {
		out.Mapping = all
	}
	return out, nil
}
