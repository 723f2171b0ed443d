package pages

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sorted"
)

func (p *Pages) routeHome(get, post func(string, reply)) {
	get("/home", p.home)
	get("/home/history", p.history)
	get("/home/revoke", p.askRevoke)
	post("/home/revoke", p.revoke)
	if p.o.Transfer {
		get("/home/transfer", p.showTransfer)
		post("/home/transfer", p.transfer)
		post("/home/redeem", p.redeem)
	}
}

// perPage is how many mytokens without a parent one page of the list has.
const perPage = 50

// homeBody is the list of the mytokens of a person.
type homeBody struct {
	Trees    []node
	Flat     bool // a list instead of trees
	Ended    bool // those that have ended are shown, too
	Find     string
	Live     int // of all
	Over     int
	Page     int
	Previous string // the page before, "" for none
	Next     string
	Transfer bool
}

// node is a mytoken in the list.
type node struct {
	Base, MOMID, Name     string // Base: path of the server
	State, StateWords     string
	Created, Used, Expire time.Time
	From                  string
	Terms                 termsView
	Unknown               int64
	Ended                 time.Time
	Reason                string
	Me                    bool // it is this session
	Children              []node
	Below                 int // how many live ones are below it
	More                  int // children that are not shown
	Live                  bool
	Tell                  bool // there are notifications
}

func (p *Pages) home(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	trees, update, err := p.o.Mytokens.List(v.r.Context(), v.caller())
	v.renewed(update)
	if err != nil {
		return err
	}
	return v.showHome(trees, "")
}

func (v *visit) showHome(trees []ledger.Node, notice string) error {
	q := v.r.URL.Query()
	body := homeBody{
		Flat: q.Get("view") == "list", Ended: q.Get("ended") == "1", Find: plain(q.Get("q")), Transfer: v.p.o.Transfer,
	}
	nodes := v.nodes(trees)
	count(nodes, &body)
	if body.Flat {
		nodes = flatten(nodes, nil)
	}
	nodes = sift(nodes, body)
	sorted.By(nodes, func(a, b node) int {
		if a.Live != b.Live {
			if a.Live {
				return -1
			}
			return 1
		}
		return b.Created.Compare(a.Created)
	})
	body.Trees = body.turn(v.p.base+"/home?", nodes, q)
	most := maxNodes
	thin(body.Trees, &most)
	return v.show(http.StatusOK, "home", sheet{Title: "Your mytokens", Nav: "home", Notice: notice, Body: body})
}

// turn cuts one page out of the list.
func (b *homeBody) turn(path string, nodes []node, q url.Values) []node {
	last := max(1, (len(nodes)+perPage-1)/perPage)
	b.Page, _ = strconv.Atoi(q.Get("page"))
	b.Page = min(max(1, b.Page), last)
	to := func(page int) string {
		next := url.Values{"page": {strconv.Itoa(page)}}
		for _, k := range []string{"view", "ended", "q"} {
			if q.Get(k) != "" {
				next.Set(k, q.Get(k))
			}
		}
		return path + next.Encode()
	}
	if b.Page > 1 {
		b.Previous = to(b.Page - 1)
	}
	if b.Page < last {
		b.Next = to(b.Page + 1)
	}
	return nodes[(b.Page-1)*perPage : min(len(nodes), b.Page*perPage)]
}

func (v *visit) nodes(trees []ledger.Node) []node {
	var out []node
	me := v.me()
	for _, t := range trees {
		out = append(out, v.node(t, me))
	}
	return out
}

func (v *visit) node(t ledger.Node, me string) node {
	k := t.Token
	n := node{
		Base: v.p.base, Tell: v.p.o.Notices != nil, MOMID: k.MOMID, Name: plain(k.Name), Created: k.Created,
		Used: k.LastUse, Expire: k.Expires, Unknown: k.Unknown, Ended: k.EndedAt, Reason: plain(k.Reason),
		Me: k.MOMID == me && me != "", Live: k.Condition == ledger.Live,
		Terms: termsView{
			Capabilities: capabilityWords(k.Capabilities), Clauses: clauseViews(k.Restrictions, k.Counters),
			Rotation: rotationWords(k.Rotation), Unlimited: len(k.Restrictions) == 0,
		},
	}
	n.State, n.StateWords = stateWords(k, v.p.o.Now())
	if a, err := netip.ParseAddr(k.IP); err == nil {
		n.From = v.p.placeWords(a)
	}
	for _, c := range t.Children {
		child := v.node(c, me)
		n.Children = append(n.Children, child)
		n.Below += child.Below
		if child.Live {
			n.Below++
		}
	}
	return n
}

// stateWords says whether a mytoken can be used; the first word is for style sheets.
func stateWords(k ledger.Token, now time.Time) (class, words string) {
	switch k.Condition {
	case ledger.Expired:
		return "over", "expired"
	case ledger.Ended:
		return "over", "revoked"
	case ledger.Live:
	}
	if !k.Expires.IsZero() && k.Expires.Sub(now) < 24*time.Hour {
		return "soon", "ends soon"
	}
	return "live", "usable"
}

func count(nodes []node, b *homeBody) {
	for _, n := range nodes {
		if n.Live {
			b.Live++
		} else {
			b.Over++
		}
		count(n.Children, b)
	}
}

func flatten(nodes, into []node) []node {
	for _, n := range nodes {
		children := n.Children
		n.Children = nil
		into = flatten(children, append(into, n))
	}
	return into
}

// sift leaves out what has ended, unless it is wanted or something live is below it, and what is not looked for.
func sift(nodes []node, b homeBody) []node {
	var out []node
	for _, n := range nodes {
		n.Children = sift(n.Children, b)
		found := b.Find == "" || strings.Contains(strings.ToLower(n.Name), strings.ToLower(b.Find)) || n.MOMID == b.Find
		if len(n.Children) > 0 || found && (n.Live || b.Ended) {
			out = append(out, n)
		}
	}
	return out
}

// maxNodes is how many mytokens one page has at most, with those below others.
const maxNodes = 400

// thin leaves out what would make a page too long: the list has it.
func thin(nodes []node, most *int) {
	*most -= len(nodes)
	for i := range nodes {
		n := &nodes[i]
		if keep := max(0, min(len(n.Children), *most)); keep < len(n.Children) {
			n.Children, n.More = n.Children[:keep], len(n.Children)-keep
		}
		thin(n.Children, most)
	}
}

// historyBody is what happened to a mytoken.
type historyBody struct {
	MOMID  string
	Events []eventView
}

type eventView struct {
	What, Comment, From, Agent, Name string
	At                               time.Time
}

func (p *Pages) history(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	id := v.r.URL.Query().Get("mom_id")
	events, update, err := p.o.Mytokens.History(v.r.Context(), v.caller(), id)
	v.renewed(update)
	if err != nil {
		return err
	}
	body := historyBody{MOMID: id}
	for _, e := range events {
		w := eventView{
			What: eventWords(e.Event), Name: plain(e.Event), Comment: plain(e.Comment), Agent: plain(e.UserAgent), At: e.Time,
		}
		if a, err := netip.ParseAddr(e.IP); err == nil {
			w.From = p.placeWords(a)
		}
		body.Events = append(body.Events, w)
	}
	return v.show(http.StatusOK, "history", sheet{Title: "History", Nav: "home", Body: body})
}

// revokeBody asks whether a mytoken is to end.
type revokeBody struct {
	Node node
}

// askRevoke shows what would end.
func (p *Pages) askRevoke(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	trees, update, err := p.o.Mytokens.List(v.r.Context(), v.caller())
	v.renewed(update)
	if err != nil {
		return err
	}
	id := v.r.URL.Query().Get("mom_id")
	n, ok := findNode(trees, id)
	if !ok {
		return nowhere()
	}
	return v.show(http.StatusOK, "revoke", sheet{
		Title: "End this mytoken?", Nav: "home", Body: revokeBody{Node: v.node(n, v.me())},
	})
}

func findNode(trees []ledger.Node, id string) (ledger.Node, bool) {
	for _, t := range trees {
		if t.Token.MOMID == id {
			return t, true
		}
		if n, ok := findNode(t.Children, id); ok {
			return n, true
		}
	}
	return ledger.Node{}, false
}

func (p *Pages) revoke(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	id := v.form.Get("mom_id")
	if id == "" {
		return &desk.Error{Status: http.StatusBadRequest, Code: desk.CodeRequest, Description: "no mytoken is named"}
	}
	me := v.me() == id
	update, err := p.o.Mytokens.Revoke(v.r.Context(), v.caller(), id, v.form.Get("recursive") == "1")
	v.renewed(update)
	if err != nil {
		return err
	}
	if me {
		v.forget()
		return v.showFront(http.StatusOK, "Your session has ended.", "")
	}
	trees, update, err := p.o.Mytokens.List(v.r.Context(), v.caller())
	v.renewed(update)
	var e *desk.Error
	if errors.As(err, &e) && e.Status == http.StatusUnauthorized {
		v.forget() // the session was below what has ended
		return v.showFront(http.StatusOK, "The mytoken has ended, and your session with it.", "")
	}
	if err != nil {
		return err
	}
	return v.showHome(trees, "The mytoken has ended.")
}

// transferBody moves mytokens between machines by codes.
type transferBody struct {
	Mytoken, Code input
}

func (p *Pages) showTransfer(v *visit) error { return v.transferPage(http.StatusOK, "", "") }

func (v *visit) transferPage(status int, mytokenError, codeError string) error {
	return v.show(status, "transfer", sheet{Title: "Transfer codes", Nav: "transfer", Body: transferBody{
		Mytoken: input{
			Name: "mytoken", Label: "Mytoken", Type: "password", Max: maxToken, Required: true, Off: true,
			Hint: "a code for it is made; the mytoken stays as it is", Error: mytokenError,
		},
		Code: input{
			Name: "transfer_code", Label: "Transfer code", Type: "text", Max: 64, Required: true, Off: true,
			Hint: "as the other machine shows it; it is good once", Error: codeError,
		},
	}})
}

func (p *Pages) transfer(v *visit) error {
	mt := secret.FromString(strings.TrimSpace(v.form.Get("mytoken")))
	defer mt.Wipe()
	i, err := p.o.Mytokens.Transfer(v.r.Context(), desk.Caller{Mytoken: mt, Origin: v.from})
	if problem, ok := refused(err); ok {
		return v.transferPage(http.StatusUnprocessableEntity, problem, "")
	}
	if err != nil {
		return err
	}
	defer i.Wipe()
	return v.showIssued(i)
}

func (p *Pages) redeem(v *visit) error {
	if err := p.o.Guess(v.from.Client); err != nil {
		return err
	}
	code := secret.FromString(strings.TrimSpace(v.form.Get("transfer_code")))
	defer code.Wipe()
	i, err := p.o.Logins.Redeem(v.r.Context(), code, v.from)
	if problem, ok := refused(err); ok {
		return v.transferPage(http.StatusUnprocessableEntity, "", problem)
	}
	if err != nil {
		return err
	}
	defer i.Wipe()
	return v.showIssued(i)
}

// refused puts a refusal of what somebody typed into words that stand next to it.
func refused(err error) (string, bool) {
	var e *desk.Error
	if !errors.As(err, &e) || e.Status < 400 || e.Status >= 500 || e.Status == http.StatusTooManyRequests {
		return "", false
	}
	if e.Status == http.StatusUnauthorized {
		return "This is not valid, or not any more. Check that nothing is missing.", true
	}
	return say(e), true
}

// eventWords puts a name of the history into words.
func eventWords(name string) string {
	switch name {
	case "created":
		return "made"
	case "AT_created":
		return "an access token was got"
	case "MT_created":
		return "a mytoken was made from it"
	case "inherited_RT":
		return "took over the login of the mytoken it was made from"
	case "transfer_code_created":
		return "a transfer code was made"
	case "transfer_code_used":
		return "a transfer code was used"
	case ledger.EventRotated:
		return "replaced by a new one"
	case ledger.EventRevoked:
		return "revoked"
	case "revoked_other_token":
		return "another mytoken was revoked with it"
	case "expired":
		return "expired"
	case ledger.EventUnknown:
		return "a use whose end nobody knows"
	}
	group, _, _ := strings.Cut(name, "_")
	switch group {
	case "tokeninfo":
		return "somebody looked at mytokens with it"
	case "settings", "ssh", "email":
		return "settings were looked at or changed with it"
	case "notification", "calendar":
		return "notifications or calendars were looked at or changed with it"
	case "tag", "tags":
		return "tags were looked at or changed with it"
	}
	return "something else"
}
