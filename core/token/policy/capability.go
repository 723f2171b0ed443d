package policy

import (
	"strings"

	"github.com/oidcbox/oidcbox/core/token/claims"
)

// storageArea is a directory that an issuer's scopes are relative to.
type storageArea struct{ path claims.Path }

// capable wants a capability for what the request does: the operation on the path, by the profile of the token. A token
// without any capability is judged by otherwise, when there is one; one that has some never is (WLCG
// profile: capabilities win over groups).
type capable struct {
	operation string // "": the request's
	otherwise requirement
}

func (c capable) decide(e *evaluation) Node {
	op := c.operation
	if op == "" {
		op = e.request.Operation
	}
	n := Node{Kind: "capability", Text: op}
	if op == "" {
		n.Reason = "the request's operation is not known"
		return n
	}
	caps, err := e.who.scopes().Capabilities(e.who.Profile)
	if err != nil {
		n.Reason = err.Error()
		return n
	}
	if !caps.Any() && c.otherwise != nil {
		child := c.otherwise.decide(e)
		n.Yes, n.Children, n.Reason = child.Yes, []Node{child}, "the token has no capability: decided otherwise"
		return n
	}
	words := inWords(e.who.Profile, op)
	if len(words) == 0 {
		n.Reason = "the token is of a profile that has no such operation"
		return n
	}
	if !storageOperation(op) {
		n.Yes, n.Reason = c.allows(e, caps, words, nil)
		return n
	}
	if e.request.Path == "" {
		n.Reason = "the request's path is not known"
		return n
	}
	n.Text += " on " + e.request.Path
	n.Yes, n.Reason = c.stored(e, caps, words)
	return n
}

// stored judges an operation that has a path, in each of the issuer's areas.
func (c capable) stored(e *evaluation, caps claims.Capabilities, words []string) (bool, string) {
	request, err := claims.ParseRequestPath(e.request.Path)
	if err != nil {
		return false, err.Error()
	}
	areas := e.policy.issuers[e.who.Issuer].areas
	if len(areas) == 0 {
		return false, "the issuer has no storage area here"
	}
	reason := "the path is outside the issuer's storage areas"
	for _, a := range areas {
		inside, ok := request.Below(a.path)
		if !ok {
			continue
		}
		yes, why := c.allows(e, caps, words, &inside)
		if yes {
			return true, why
		}
		reason = why
	}
	return false, reason
}

// allows looks for one of words, on path for operations that have one; nil is for those that have none.
func (c capable) allows(e *evaluation, caps claims.Capabilities, words []string, path *claims.Path) (bool, string) {
	for _, w := range words {
		if path != nil {
			if caps.AllowPath(w, *path) {
				return true, "scope " + w
			}
			continue
		}
		ok, err := caps.Allow(w, "")
		if err != nil {
			return false, err.Error()
		}
		if ok {
			return true, "scope " + w
		}
	}
	scope := words[0]
	if path != nil {
		scope += ":" + path.String()
	}
	return e.lacks(scope), "no scope of the token covers it"
}

// inWords says an operation in the words of profile p; any one of the answer will do. SciTokens' write is creating and
// changing at once, so a WLCG token needs modify for it.
func inWords(p claims.Profile, op string) []string {
	switch p {
	case claims.WLCG:
		switch op {
		case "read":
			return []string{"storage.read"}
		case "write":
			return []string{"storage.modify"}
		case "stat":
			return []string{"storage.read", "storage.create", "storage.modify", "storage.stage"}
		case "queue", "execute":
			return nil
		}
	case claims.SciTokens:
		switch op {
		case "storage.read":
			return []string{"read"}
		case "storage.create", "storage.modify":
			return []string{"write"}
		case "stat":
			return []string{"read", "write"}
		case "storage.stage", "storage.poll", "compute.read", "compute.modify", "compute.create", "compute.cancel", "host.auth":
			return nil
		}
	default:
		return nil
	}
	return []string{op}
}

// KnownOperation reports whether some profile has op.
func KnownOperation(op string) bool {
	switch op {
	case "stat", "read", "write", "queue", "execute", "storage.read", "storage.create", "storage.modify",
		"storage.stage", "storage.poll", "compute.read", "compute.modify", "compute.create", "compute.cancel", "host.auth":
		return true
	}
	return false
}

// storageOperation reports whether op has a path.
func storageOperation(op string) bool {
	return op == "stat" || op == "read" || op == "write" || strings.HasPrefix(op, "storage.")
}
