package worker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// version of the protocol: another one is refused.
const version = 1

// maxLine bounds a request and each line of an answer, in bytes.
const maxLine = 256 << 10

// What can be asked for.
const (
	opFind     = "find"
	opHolder   = "holder"
	opDeploy   = "deploy"
	opTier     = "tier"
	opSuspend  = "suspend"
	opResume   = "resume"
	opUndeploy = "undeploy"
	opAll      = "all"
	opTrust    = "trust"
)

// request is the one line a client says.
type request struct {
	Version int             `json:"v"`
	Op      string          `json:"op"`
	ID      string          `json:"id,omitempty"`     // find
	Name    string          `json:"name,omitempty"`   // holder
	Wanted  *backend.Wanted `json:"wanted,omitempty"` // deploy
	Ref     *backend.Ref    `json:"ref,omitempty"`    // tier, suspend, resume, undeploy
	Tier    backend.Tier    `json:"tier,omitempty"`
	Kill    bool            `json:"kill,omitempty"` // suspend
}

// reply is one line of an answer. An answer to "all" has one for each account, with More, and one without at the end.
type reply struct {
	Account *backend.Account `json:"account,omitempty"`
	Holder  *backend.Holder  `json:"holder,omitempty"`
	Done    *backend.Done    `json:"done,omitempty"`
	More    bool             `json:"more,omitempty"`
	Error   *fault           `json:"error,omitempty"`
}

// fault is an error on the wire: a word for the program, a text for the log.
type fault struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// codes are the errors that keep their meaning across the socket.
func codes() []struct {
	code string
	err  error
} {
	return []struct {
		code string
		err  error
	}{
		{"no_account", backend.ErrNoAccount},
		{"taken", backend.ErrTaken},
		{"mismatch", backend.ErrMismatch},
		{"refused", backend.ErrRefused},
		{"read_only", backend.ErrReadOnly},
		{"unsupported", backend.ErrUnsupported},
		{"unavailable", backend.ErrUnavailable},
		{"editable", backend.ErrEditable},
		{"protocol", ErrProtocol},
	}
}

const codeFailed = "failed"

// maxText bounds the text of a fault, in bytes.
const maxText = 1 << 10

func faultOf(err error) *fault {
	f := &fault{Code: codeFailed, Text: cut(err.Error(), maxText)}
	for _, c := range codes() {
		if errors.Is(err, c.err) {
			f.Code = c.code
			break
		}
	}
	return f
}

// remoteError is what the worker said. Its text is kept; its kind is one of ours.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }

func (e *remoteError) Unwrap() error { return e.kind }

func (f *fault) err() error {
	e := &remoteError{text: cut(f.Text, maxText), kind: errFailed}
	for _, c := range codes() {
		if c.code == f.Code {
			e.kind = c.err
		}
	}
	return e
}

// errFailed is the kind of an error that has no code: it went wrong, and may go better next time.
var errFailed = errors.New("the account system failed")

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// readLine reads one line of at most maxLine bytes. A stream that ends before, or a longer line, is ErrProtocol.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, fmt.Errorf("%w: line is too long", ErrProtocol)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: no whole line", ErrProtocol)
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// decode reads one object with known members only. The error is ErrProtocol and repeats nothing of the line.
func decode(line []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if dec.Decode(into) != nil {
		return fmt.Errorf("%w: not an object it knows", ErrProtocol)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one object in a line", ErrProtocol)
	}
	return nil
}

// parseRequest reads a request and says whether it has exactly what its kind needs.
func parseRequest(line []byte) (request, error) {
	var q request
	if err := decode(line, &q); err != nil {
		return request{}, err
	}
	if q.Version != version {
		return request{}, fmt.Errorf("%w: version %d", ErrProtocol, q.Version)
	}
	ok := false
	switch q.Op {
	case opFind:
		ok = q.ID != ""
	case opHolder:
		ok = q.Name != ""
	case opDeploy:
		ok = q.Wanted != nil
	case opTier, opSuspend, opResume, opUndeploy:
		ok = q.Ref != nil
	case opAll, opTrust:
		ok = true
	}
	if !ok {
		return request{}, fmt.Errorf("%w: request lacks something", ErrProtocol)
	}
	return q, nil
}
