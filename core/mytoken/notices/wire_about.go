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
			paths, err := n.asked(c.Context(), v, ids)
			if err == nil {
				out, err = n.subscribedFor(c.Context(), v.User(), paths)
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
func (n *Notices) asked(ctx context.Context, v Visit, ids []string) (map[string][]string, error) {
	held := v.Claims().Capabilities
	all, mine := rules.Allows(held, capReadNotify), rules.Allows(held, capOwnNotify)
	if !all && !mine {
		return nil, n.incapable(ctx, v)
	}
	if len(ids) == 0 {
		ids = []string{v.MOMID()}
	}
	paths := make(map[string][]string, len(ids))
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
		paths[m] = t.Path
	}
	return paths, nil
}

func (n *Notices) subscribedFor(ctx context.Context, user string, paths map[string][]string) (out aboutJSON, err error) {
	subs, err := n.subscriptions(ctx, user)
	if err != nil {
		return out, err
	}
	cals, err := n.calendars(ctx, user)
	if err != nil {
		return out, err
	}
	all := make(map[string]*aboutJSON, len(paths))
	for m := range paths {
		all[m] = &aboutJSON{}
	}
	for i := range subs {
		var found bool
		for m, path := range paths {
			if _, ok := subs[i].concerns(m, path); ok {
				found, all[m].Notifications = true, append(all[m].Notifications, subs[i].json())
			}
		}
		if found {
			out.Notifications = append(out.Notifications, subs[i].json())
		}
	}
	for _, k := range cals {
		var found bool
		for _, a := range k.Tokens {
			if to := all[a.MOMID]; to != nil {
				found, to.Calendars = true, append(to.Calendars, n.calendarJSON(k))
			}
		}
		if found {
			out.Calendars = append(out.Calendars, n.calendarJSON(k))
		}
	}
	if len(paths) > 1 {
		out.Mapping = all
	}
	return out, nil
}
