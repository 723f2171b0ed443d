package verifier

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/token/gate"
)

// maxAuditPath keeps a record on a line that tools read.
const maxAuditPath = 1024

// recordTo writes one decision down.
func recordTo(log *audit.Log, at time.Time, e *gate.Event) {
	r := recordOf(e)
	log.Record(at, r.appendTo)
}

// auditRecord is one decision. There is no token in it, and no query: tokens stand there at times. sub, iss, jti and
// kid are there once the token was believed; what others say of themselves is apart from that, in claimed.
type auditRecord struct {
	Time      string `json:"time"`
	Decision  string `json:"decision"` // allow, deny, error
	Status    int    `json:"status"`
	Code      string `json:"error,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Service   string `json:"service,omitempty"`
	Method    string `json:"method,omitempty"`
	Operation string `json:"operation,omitempty"`
	Path      string `json:"path,omitempty"`
	Issuer    string `json:"iss,omitempty"`
	Subject   string `json:"sub,omitempty"`
	ID        string `json:"jti,omitempty"`
	KeyID     string `json:"kid,omitempty"`
	Token     string `json:"tokid,omitempty"`
	Opaque    bool   `json:"opaque,omitempty"`
	// Claimed is what a token that was refused says of itself: nobody believes it, and it may well say why.
	Claimed *gate.Claimed `json:"claimed,omitempty"`
	Micros  int64         `json:"us"`
}

func recordOf(e *gate.Event) auditRecord {
	id := &e.Outcome.Identity
	r := auditRecord{
		Decision: "allow", Status: 200,
		Service: e.Request.Service, Method: e.Request.Method, Operation: e.Request.Operation,
		Path:   e.Request.Path[:min(len(e.Request.Path), maxAuditPath)],
		Issuer: id.Issuer, Subject: id.Subject, ID: id.Claims.ID, KeyID: id.KeyID, Token: e.TokenID,
		Opaque: e.Outcome.Opaque, Claimed: e.Claimed, Micros: e.Took.Microseconds(),
	}
	if no := e.Refusal; no != nil {
		r.Decision, r.Status, r.Code, r.Reason = "deny", no.Status, no.Code, no.Reason()
		if no.Status >= 500 {
			r.Decision = "error"
		}
	}
	return r
}

// appendTo appends what json.Marshal writes of r, made visible, with the time in stamp. A test holds the two together;
// this one takes no memory.
func (r *auditRecord) appendTo(b, stamp []byte) []byte {
	b = append(append(b, `{"time":"`...), stamp...)
	b = append(append(b, `","decision":"`...), r.Decision...)
	b = strconv.AppendInt(append(b, `","status":`...), int64(r.Status), 10)
	for _, one := range [...]struct{ key, value string }{
		{`,"error":`, r.Code},
		{`,"reason":`, r.Reason},
		{`,"service":`, r.Service},
		{`,"method":`, r.Method},
		{`,"operation":`, r.Operation},
		{`,"path":`, r.Path},
		{`,"iss":`, r.Issuer},
		{`,"sub":`, r.Subject},
		{`,"jti":`, r.ID},
		{`,"kid":`, r.KeyID},
		{`,"tokid":`, r.Token},
	} {
		if one.value != "" {
			b = audit.AppendText(append(b, one.key...), one.value)
		}
	}
	if r.Opaque {
		b = append(b, `,"opaque":true`...)
	}
	if r.Claimed != nil {
		if claimed, err := json.Marshal(r.Claimed); err == nil { // text always encodes
			b = append(append(b, `,"claimed":`...), audit.Visible(claimed)...)
		}
	}
	return append(strconv.AppendInt(append(b, `,"us":`...), r.Micros, 10), '}')
}
