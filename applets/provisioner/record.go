package provisioner

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/httpapi"
	"github.com/oidcbox/oidcbox/core/account/pages"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/worker"
	"github.com/oidcbox/oidcbox/core/audit"
)

// auditLine is one decision about a login or a request, as it stands in the audit beside those about accounts
// (provision.Event). There is no secret in it.
type auditLine struct {
	Time   string `json:"time"`
	Event  string `json:"event"`
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	By     string `json:"by,omitempty"`
	Remote string `json:"remote,omitempty"`
	State  string `json:"state,omitempty"`
	Reason string `json:"reason,omitempty"`
	Token  string `json:"tokid,omitempty"`
	Form   string `json:"form,omitempty"`

	// Who a provider named, where that is not believed to be anybody here.
	Subject string `json:"sub,omitempty"`
	Issuer  string `json:"iss,omitempty"`
}

// maxAuditText keeps a record on a line that tools read.
const maxAuditText = 400

// recordRequest counts what was decided about a login, a password or a request, and writes it down.
func (d *server) recordRequest(_ context.Context, e httpapi.Event) {
	d.numbers.events.With(e.Kind).Add(1)
	l := auditLine{
		Event: e.Kind, ID: e.ID, Name: short(e.Name), By: short(e.By), Remote: short(e.Remote), State: e.State,
		Reason: short(e.Reason), Token: e.Token, Form: e.Form,
	}
	d.audit.Record(d.env.Now(), l.appendTo)
}

// recordPage does the same for what people did by the pages.
func (d *server) recordPage(_ context.Context, e pages.Event) {
	d.numbers.events.With(e.Event).Add(1)
	l := auditLine{Event: e.Event, ID: e.ID, Name: short(e.Name), By: "pages", Reason: short(e.Reason)}
	if e.Remote.IsValid() {
		l.Remote = e.Remote.String()
	}
	if e.ID == "" {
		l.Subject, l.Issuer = short(e.Subject), short(e.Issuer)
	}
	d.audit.Record(d.env.Now(), l.appendTo)
}

// recordAccount does the same for what happened to an account.
func (d *server) recordAccount(e provision.Event) {
	d.numbers.events.With(string(e.Kind)).Add(1)
	d.audit.Record(e.Time, e.AppendTo)
}

func (l auditLine) appendTo(b, stamp []byte) []byte {
	l.Time = string(stamp)
	line, err := json.Marshal(l)
	if err != nil { // text always encodes
		return append(b, "{}"...)
	}
	return append(b, audit.Visible(line)...)
}

// workerLine is what a worker did or refused, as it stands in its audit.
type workerLine struct {
	Time    string   `json:"time"`
	Event   string   `json:"event"`
	Op      string   `json:"op,omitempty"`
	ID      string   `json:"id,omitempty"`
	Name    string   `json:"name,omitempty"`
	UID     uint32   `json:"uid,omitempty"`
	PeerUID uint32   `json:"peer_uid"`
	PeerPID int32    `json:"peer_pid,omitempty"`
	Created bool     `json:"created,omitempty"`
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Reason  string   `json:"reason,omitempty"`
}

func workerLineOf(e worker.Event) workerLine {
	return workerLine{
		Event: e.Event, Op: e.Op, ID: e.ID, Name: e.Name, UID: e.UID, PeerUID: e.PeerUID, PeerPID: e.PeerPID, Created: e.Created,
		Added: e.Added, Removed: e.Removed, Reason: short(e.Reason),
	}
}

func (l workerLine) appendTo(b, stamp []byte) []byte {
	l.Time = string(stamp)
	line, err := json.Marshal(l)
	if err != nil {
		return append(b, "{}"...)
	}
	return append(b, audit.Visible(line)...)
}

func short(s string) string {
	if len(s) <= maxAuditText {
		return s
	}
	return strings.ToValidUTF8(s[:maxAuditText], "")
}
