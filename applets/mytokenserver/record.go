package mytokenserver

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/httpapi"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
)

// auditRecord is one decision, as it stands in the audit. There is no mytoken and no code in it, and no mail address.
type auditRecord struct {
	Time     string `json:"time"`
	Action   string `json:"action"`
	Outcome  string `json:"outcome"` // ok, or the code of the refusal
	Reason   string `json:"reason,omitempty"`
	User     string `json:"user,omitempty"`  // sub of the mytokens of the person
	Token    string `json:"tokid,omitempty"` // mom_id
	Provider string `json:"provider,omitempty"`
	Address  string `json:"address,omitempty"`
	Agent    string `json:"agent,omitempty"` // what the client calls itself
	Request  string `json:"req,omitempty"`   // X-Request-Id of the answer
}

// maxAuditText keeps a record on a line that tools read.
const maxAuditText = 300

// record counts a decision and writes it down.
func (d *server) record(ctx context.Context, e desk.AuditEvent) {
	d.numbers.decisions.With(e.Action, e.Outcome).Add(1)
	r := auditRecord{
		Action: e.Action, Outcome: e.Outcome, Reason: short(e.Reason), User: e.User, Token: e.MOMID, Provider: e.Provider,
		Agent: short(e.From.UserAgent), Request: httpapi.RequestID(ctx),
	}
	if e.From.Client.IsValid() {
		r.Address = e.From.Client.String()
	}
	d.audit.Record(e.At, r.appendTo)
}

// recordAdmin is record for what an operator did.
func (d *server) recordAdmin(ctx context.Context, e desk.AuditEvent, err error) {
	e.At, e.Outcome = d.env.Now(), "ok"
	switch {
	case errors.Is(err, ledger.ErrUnknown):
		e.Outcome = codeUnknown
	case err != nil:
		e.Outcome = codeFailed
	}
	d.record(ctx, e)
}

func (r auditRecord) appendTo(b, stamp []byte) []byte {
	r.Time = string(stamp)
	line, err := json.Marshal(r)
	if err != nil { // text always encodes
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
