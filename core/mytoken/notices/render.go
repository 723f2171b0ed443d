package notices

import (
	"fmt"
	"html/template"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
)

// page is what a mail says, before it becomes text and HTML. All of it may be texts of strangers: as text they are one
// line each, as HTML they are escaped.
type page struct {
	Title string
	Lines []string
	Facts []fact
	Links []pageLink
	// Why says why the person gets it, and End is where that is ended, "" for nowhere.
	Why, End string
	Operator string
}

type fact struct{ Name, Value string }

type pageLink struct{ Label, URL string }

const mailHTML = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title></head>
<body style="font-family:sans-serif;color:#1a1a1a;background:#ffffff;max-width:40em">
<h1 style="font-size:1.2em">{{.Title}}</h1>
{{range .Lines}}<p>{{.}}</p>
{{end}}{{if .Facts}}<table cellpadding="4">{{range .Facts}}
<tr><td style="color:#555555;vertical-align:top">{{.Name}}</td><td>{{.Value}}</td></tr>{{end}}
</table>
{{end}}{{range .Links}}<p><a href="{{.URL}}">{{.Label}}</a></p>
{{end}}<hr><p style="font-size:0.85em;color:#555555">{{.Why}}{{if .End}}
<a href="{{.End}}">No more of these mails</a>.{{end}}<br>{{.Operator}}</p>
</body></html>
`

// mailTemplate is parsed when the first mail is written.
var mailTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("mail").Parse(mailHTML))
})

// text is the page as plain text.
func (p page) text() string {
	var b strings.Builder
	for _, l := range p.Lines {
		b.WriteString(l + "\n\n")
	}
	for _, f := range p.Facts {
		fmt.Fprintf(&b, "%-12s %s\n", f.Name+":", f.Value)
	}
	if len(p.Facts) > 0 {
		b.WriteString("\n")
	}
	for _, l := range p.Links {
		fmt.Fprintf(&b, "%s:\n%s\n\n", l.Label, l.URL)
	}
	b.WriteString("-- \n" + p.Why + "\n")
	if p.End != "" {
		b.WriteString("No more of these mails: " + p.End + "\n")
	}
	b.WriteString(p.Operator + "\n")
	return b.String()
}

// write makes a mail of a page, with HTML for whoever prefers that.
func (n *Notices) write(to string, html bool, p page) letter {
	p.Operator = "mytoken service of " + oneLine(n.o.Operator, shownText)
	l := letter{bodyRecord: bodyRecord{To: to, Subject: cut(p.Title, maxSubject), Text: p.text()}}
	if strings.HasPrefix(p.End, "https:") {
		l.Unsubscribe = p.End
	}
	if !html {
		return l
	}
	var b strings.Builder
	if err := mailTemplate().Execute(&b, p); err != nil {
		n.o.Log.Error("a mail goes out as text only", "err", err)
		return l
	}
	l.HTML = b.String()
	return l
}

// maxSubject is below that of core/transport/mail.
const maxSubject = 160

func when(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006, 15:04 MST") }

// confirmation asks whether an address is its owner's.
func (n *Notices) confirmation(p *personRecord, link string, end time.Time) letter {
	l := n.write(p.Address, p.HTML, page{
		Title: "Confirm your mail address",
		Lines: []string{
			"Somebody who uses the mytoken service at " + n.host + " gave this address as the one that mails go to.",
			"If that was you, open the link and confirm it before " + when(end) +
				". If it was not, do nothing: no more mails will come.",
		},
		Links: []pageLink{{"Confirm the address", link}},
		Why:   "You get this mail because the address was entered there.",
	})
	l.Life = confirmFor
	return l
}

// addressChanged tells the address before.
func (n *Notices) addressChanged(p *personRecord, before string) letter {
	return n.write(before, p.HTML, page{
		Title: "Your mail address is being changed",
		Lines: []string{
			"Another address was entered for mails about your mytokens at " + n.host + ".",
			"Until it is confirmed mails go on to this one. If it was not you who entered it, look at your mytokens: " +
				"somebody has one that may change settings.",
		},
		Links: []pageLink{{"Your mytokens", n.base + "/home"}},
		Why:   "You get this mail because your address is being replaced.",
	})
}

// eventTitle says in words what happened.
func eventTitle(class string) string {
	switch class {
	case desk.ClassAccess:
		return "access tokens were created"
	case desk.ClassSubtoken:
		return "another mytoken was made from it"
	case desk.ClassSettings:
		return "settings were changed"
	case desk.ClassIPs:
		return "used from a new address"
	case desk.ClassRevoked:
		return "revoked"
	case desk.ClassCapabilities:
		return "a use was refused, it lacks a capability"
	case desk.ClassRestrictions:
		return "a use was refused by its restrictions"
	case desk.ClassRefresh:
		return "the provider no longer accepts its login"
	}
	return "something happened"
}

// event tells of something that happened.
func (n *Notices) event(p *personRecord, e desk.Notice, sub *subRecord) letter {
	facts := []fact{{"Mytoken", shown(e.Name)}, {"Identifier", oneLine(e.MOMID, shownText)}, {"When", when(e.At)}}
	if e.From.Client.IsValid() {
		facts = append(facts, fact{"Address", e.From.Client.String()})
	}
	if s := notLink(oneLine(e.From.UserAgent, shownText)); s != "" {
		facts = append(facts, fact{"Program", s})
	}
	if s := notLink(oneLine(e.Comment, shownText)); s != "" {
		facts = append(facts, fact{"Details", s})
	}
	return n.write(p.deliver(), p.HTML, page{
		Title: fmt.Sprintf("Mytoken '%s': %s", shown(e.Name), eventTitle(e.Class)),
		Facts: facts,
		Links: []pageLink{{"Your mytokens", n.base + "/home"}},
		Why:   why(sub), End: n.link(forUnsubscribe, sub.End),
	})
}

func why(sub *subRecord) string {
	s := "You get this mail because you asked to be told"
	if sub.Comment != "" {
		s += " (" + notLink(oneLine(sub.Comment, shownText)) + ")"
	}
	return s + "."
}

// summary tells of what happened often.
func (n *Notices) summary(p *personRecord, d *digestRecord, sub *subRecord) letter {
	total := d.Others
	var facts []fact
	for _, l := range d.Lines {
		total += l.Count
		value := fmt.Sprintf("%s, %d times, last on %s", eventTitle(l.Class), l.Count, when(l.Last))
		if l.IP != "" {
			value += " from " + oneLine(l.IP, shownText)
		}
		facts = append(facts, fact{shown(l.Name), value})
	}
	if d.Others > 0 {
		facts = append(facts, fact{"others", fmt.Sprintf("%d times", d.Others)})
	}
	return n.write(p.deliver(), p.HTML, page{
		Title: fmt.Sprintf("Your mytokens: %d events", total),
		Lines: []string{"This is what happened since " + when(d.Since) + "."},
		Facts: facts,
		Links: []pageLink{{"Your mytokens", n.base + "/home"}},
		Why:   why(sub), End: n.link(forUnsubscribe, sub.End),
	})
}

// ending announces the end of a mytoken. It is sent at most once.
func (n *Notices) ending(p *personRecord, t ledger.Token, r *tokenRecord, sub *subRecord) letter {
	title := fmt.Sprintf("Mytoken '%s' expires %s", shown(t.Name), in(t.Expires.Sub(n.now())))
	if !n.now().Before(t.Expires) {
		title = fmt.Sprintf("Mytoken '%s' has expired", shown(t.Name))
	}
	l := n.write(p.deliver(), p.HTML, page{
		Title: title,
		Facts: []fact{
			{"Mytoken", shown(t.Name)}, {"Identifier", t.MOMID}, {"Made", when(t.Created)}, {"Expires", when(t.Expires)},
		},
		Links: []pageLink{{"Make another one like it", n.link(forRecreating, r.Again)}},
		Why:   why(sub), End: n.link(forMuting, r.Mute),
	})
	l.once = true
	return l
}

// in says how long something is ahead, rounded up as people do.
func in(d time.Duration) string {
	switch {
	case d > 36*time.Hour:
		return fmt.Sprintf("in %d days", (d+day-1)/day)
	case d > time.Hour:
		return fmt.Sprintf("in %d hours", (d+time.Hour-1)/time.Hour)
	}
	return "within the hour"
}

// invitation puts the end of a mytoken into the calendar of whoever gets it.
func (n *Notices) invitation(p *personRecord, t ledger.Token, r *tokenRecord, comment string) letter {
	e := n.happening(Entry{
		MOMID: t.MOMID, Name: t.Name, Comment: comment, Created: t.Created, Expires: t.Expires,
		Again: n.link(forRecreating, r.Again),
	})
	e.organizer, e.attendee = n.o.From.String(), p.deliver()
	facts := []fact{{"Mytoken", shown(t.Name)}, {"Expires", when(t.Expires)}}
	if comment != "" {
		facts = append(facts, fact{"Comment", notLink(comment)})
	}
	l := n.write(p.deliver(), p.HTML, page{
		Title: e.summary,
		Facts: facts,
		Links: []pageLink{{"Make another one like it", e.url}},
		Why:   "You get this mail because you asked for an invitation to the end of the mytoken.",
	})
	l.Invitation = calendarOf(methodRequest, "", []happening{e})
	return l
}
