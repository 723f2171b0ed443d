package mytoken

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// The requests of a mytoken server's ssh server. Those after SSHList are of servers since 0.12.
const (
	SSHAccessToken = "AT"
	SSHMytoken     = "MT"
	SSHIntrospect  = "introspect"
	SSHHistory     = "history"
	SSHSubtokens   = "list-subtokens"
	SSHList        = "list-all-mytokens"

	SSHInfoNotifications = "tokeninfo-notifications"
	SSHRevoke            = "revoke"
	SSHAddTag            = "add-tag"
	SSHRemoveTag         = "remove-tag"
	SSHEmail             = "email-get"
	SSHSetEmail          = "email-set"
	SSHTags              = "tags-list"
	SSHCreateTag         = "tag-create"
	SSHUpdateTag         = "tag-update"
	SSHDeleteTag         = "tag-delete"

	SSHNotifications      = "notifications"
	SSHCreateNotification = "notification-create"
	SSHUpdateNotification = "notification-update"
	SSHDeleteNotification = "notification-delete"
	SSHNotifyAddToken     = "notification-add-token"
	SSHNotifyRemoveToken  = "notification-remove-token"

	SSHCalendars         = "calendars"
	SSHCreateCalendar    = "calendar-create"
	SSHUpdateCalendar    = "calendar-update"
	SSHDeleteCalendar    = "calendar-delete"
	SSHCalendarAddToken  = "calendar-add-mytoken"
	SSHCalendarDropToken = "calendar-remove-mytoken"
)

// The forms of the third word of such a request. With the second one it has no character that a shell would touch.
const (
	SSHJSON   = "application/json"
	SSHBase64 = "application/json;base64"
)

// Ran is what became of a command at an ssh server.
type Ran struct {
	Out    secret.Text // standard output; the caller of Run wipes it
	Err    string      // standard error: a text of a stranger
	Status int         // exit status of the command
}

// Runner runs a command of the given words at an ssh server. The error is for what kept it from running there.
type Runner func(ctx context.Context, words ...string) (Ran, error)

// NewSSH returns a client that sends its requests to the ssh server of a mytoken server. There the key, with the user
// name, stands for a mytoken: the mytokens that methods take are empty. What the ssh server does not know is
// ErrNotOffered. host names it in errors.
func NewSSH(run Runner, host string, o Options) *Client {
	c := New(nil, &Server{Issuer: host}, o)
	c.run = run
	return c
}

// usable refuses what cannot be a mytoken before it is sent anywhere. Over ssh none is sent.
func (c *Client) usable(mt secret.Text) error {
	if c.run != nil {
		return nil
	}
	return usable(mt)
}

// sshCall is a request as the ssh server takes it.
type sshCall struct {
	action string
	body   object // empty: that of the call
	other  bool   // body counts, although it is empty
}

// overSSH is do for a client of NewSSH.
func (c *Client) overSSH(ctx context.Context, q call) (answer, secret.Text, error) {
	var none secret.Text
	if q.ssh.action == "" {
		return answer{}, none, fmt.Errorf("%s over ssh: %w", q.op, ErrNotOffered)
	}
	words, err := q.words()
	if err != nil {
		return answer{}, none, err
	}
	asked := c.opt.Now()
	ran, err := c.run(ctx, words...)
	defer ran.Out.Wipe()
	if err != nil {
		return answer{}, none, fmt.Errorf("%s: %w", q.op, err)
	}
	status, body, err := ran.read(q.ssh.action)
	if err != nil {
		return answer{}, none, c.refusedOverSSH(q, ran, err)
	}
	a := answer{status: status, asked: asked}
	if status == http.StatusNoContent {
		return a, none, nil
	}
	defer clear(body)
	if a.Object, err = readObject(body); err != nil {
		err = &Error{Op: q.op, Server: c.server.Issuer, Status: status, Err: fmt.Errorf("%w: %w", ErrAnswer, err)}
		return a, salvage(ran.Out), err
	}
	return a, none, nil
}

func (q call) words() ([]string, error) {
	body := q.body
	if q.ssh.other || len(q.ssh.body.buf) > 0 {
		body = q.ssh.body
	}
	if len(body.buf) == 0 && body.err == nil {
		return []string{q.ssh.action}, nil
	}
	b, err := body.bytes()
	if err != nil {
		return nil, err
	}
	return []string{q.ssh.action, SSHBase64, base64.StdEncoding.EncodeToString(b)}, nil
}

// errSSHText says that the output is a message and no result.
var errSSHText = errors.New("the ssh server said something else")

// read gives what was printed the form of the answer over HTTP. Servers that end with 0 although they refuse print one
// line of text, which is told from a token by its blanks.
func (r Ran) read(action string) (status int, body []byte, err error) {
	if r.Status != 0 {
		return 0, nil, errSSHText
	}
	err = r.Out.Use(func(b []byte) error {
		text := bytes.TrimSpace(b)
		switch {
		case action == SSHAccessToken || action == SSHMytoken:
			if len(text) == 0 || bytes.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return errSSHText
			}
			status = http.StatusOK
			body, err = json.Marshal(bareAnswer(action, text))
			return err
		case len(text) == 0 || string(text) == "OK":
			status = http.StatusNoContent
			return nil
		case !isObject(text):
			return errSSHText
		}
		status, body = http.StatusOK, bytes.Clone(text)
		return nil
	})
	return status, body, err
}

// bareAnswer is the object for what is printed alone.
func bareAnswer(action string, text []byte) map[string]string {
	switch {
	case action == SSHAccessToken:
		return map[string]string{"access_token": string(text)}
	case len(text) < minToken:
		return map[string]string{"transfer_code": string(text)}
	case bytes.Count(text, []byte(".")) == 2:
		return map[string]string{"mytoken": string(text), "mytoken_type": KindToken}
	}
	return map[string]string{"mytoken": string(text), "mytoken_type": KindShortToken}
}

// refusedOverSSH reads "code: description".
func (c *Client) refusedOverSSH(q call, r Ran, cause error) error {
	text := r.Err
	if strings.TrimSpace(text) == "" {
		text = r.Out.Expose()
	}
	e := &Error{Op: q.op, Server: c.server.Issuer, Status: http.StatusBadRequest}
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	code, description, _ := strings.Cut(line, ": ")
	if code = strings.TrimSpace(code); code == "" || cleanCode(code) != code {
		code, description = "", line
		e.Err = cause
		if !errors.Is(cause, errSSHText) {
			e.Err = fmt.Errorf("%w: %w", ErrAnswer, cause)
		}
	}
	e.Code, e.Description = code, cleanText(description, q.secrets)
	if code == "" && e.Description != "" {
		e.Code = "unreadable_error"
	}
	switch code {
	case "insufficient_capabilities", "usage_restricted", "access_denied":
		e.Status = http.StatusForbidden
	case "invalid_token", "expired_token":
		e.Status = http.StatusUnauthorized
	case "not_found":
		e.Status = http.StatusNotFound
	case "too_many_requests":
		e.Status = http.StatusTooManyRequests
	case "internal_server_error", "temporarily_unavailable":
		e.Status = http.StatusInternalServerError
	}
	return e
}

// Unsent reports whether a request never left: nothing was used.
func Unsent(err error) bool {
	for _, known := range []error{ErrToken, ErrRequest, ErrNotOffered, ErrServer, ErrOtherServer} {
		if errors.Is(err, known) {
			return true
		}
	}
	return httpc.Unsent(err)
}
