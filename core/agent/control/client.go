package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// maxWait bounds one call: the agent may wait for a provider, or for a person at a prompt of it.
const maxWait = 6 * time.Minute

// Client asks the agent at Path; see Backend for what its methods do. Errors are those of the agent with exit code and
// hint (cli.Error), or ErrNoAgent. Every call is a connection of its own.
type Client struct {
	Path    string
	Timeout time.Duration // of one call; 0 is six minutes
}

var _ Backend = Client{}

// Status returns what the agent says of itself.
func (c Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Create makes the keystore.
func (c Client) Create(ctx context.Context, passphrase secret.Text) error {
	return expose(passphrase, func(b []byte) error {
		return c.call(ctx, http.MethodPost, "/v1/keystore", createBody{Passphrase: b}, nil)
	})
}

// Unlock opens the keystore.
func (c Client) Unlock(ctx context.Context, u Unlock) error {
	return expose(u.Passphrase, func(b []byte) error {
		body := unlockBody{Passphrase: b, KeyFile: u.KeyFile, Keyring: u.Keyring, SSHAgent: u.SSHAgent}
		return c.call(ctx, http.MethodPost, "/v1/unlock", body, nil)
	})
}

// Lock closes the keystore.
func (c Client) Lock(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/lock", nil, nil)
}

// Logins lists the logins.
func (c Client) Logins(ctx context.Context) ([]Login, error) {
	var l []Login
	err := c.call(ctx, http.MethodGet, "/v1/logins", nil, &l)
	return l, err
}

// SaveLogin puts a login into the keystore.
func (c Client) SaveLogin(ctx context.Context, config secret.Text) error {
	return expose(config, func(b []byte) error {
		return c.call(ctx, http.MethodPost, "/v1/logins", json.RawMessage(b), nil)
	})
}

// LoadLogin loads a login of the keystore.
func (c Client) LoadLogin(ctx context.Context, name string, o LoadOptions) (string, error) {
	var info infoBody
	err := c.call(ctx, http.MethodPost, loginPath(name)+"/load", o, &info)
	return info.Info, err
}

// ExportLogin returns a login with its secrets.
func (c Client) ExportLogin(ctx context.Context, name string) (secret.Text, error) {
	b, err := c.ask(ctx, http.MethodGet, loginPath(name)+"/config", nil)
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(b), nil
}

// RemoveLogin deletes a login.
func (c Client) RemoveLogin(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, loginPath(name), nil, nil)
}

// Slots lists the ways into the keystore.
func (c Client) Slots(ctx context.Context) ([]Slot, error) {
	var s []Slot
	err := c.call(ctx, http.MethodGet, "/v1/slots", nil, &s)
	return s, err
}

// AddSlot adds a way into the keystore.
func (c Client) AddSlot(ctx context.Context, n NewSlot) (Slot, error) {
	var s Slot
	err := expose(n.Passphrase, func(b []byte) error {
		body := slotBody{
			Kind: n.Kind, Label: n.Label, KeyFile: n.KeyFile, Passphrase: b, SSHAgent: n.SSHAgent, SSHKey: n.SSHKey,
		}
		return c.call(ctx, http.MethodPost, "/v1/slots", body, &s)
	})
	return s, err
}

// RemoveSlot removes a way into the keystore.
func (c Client) RemoveSlot(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/slots/"+url.PathEscape(id), nil, nil)
}

// Question returns a question.
func (c Client) Question(ctx context.Context, id string) (Question, error) {
	var q Question
	err := c.call(ctx, http.MethodGet, questionPath(id), nil, &q)
	return q, err
}

// Attend returns when a question is over. The agent sees when we go away.
func (c Client) Attend(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, questionPath(id)+"/attend", nil, nil)
}

// Answer answers a question.
func (c Client) Answer(ctx context.Context, a AnswerRequest) error {
	return expose(a.Text, func(b []byte) error {
		body := answerBody{Text: b, Yes: a.Yes, Chosen: a.Chosen, Cancelled: a.Cancelled}
		return c.call(ctx, http.MethodPost, questionPath(a.ID), body, nil)
	})
}

func questionPath(id string) string { return "/v1/questions/" + url.PathEscape(id) }

// Token returns an access token.
func (c Client) Token(ctx context.Context, r TokenRequest) (Token, error) {
	var body tokenBody
	if err := c.call(ctx, http.MethodPost, "/v1/token", r, &body); err != nil {
		return Token{}, err
	}
	return body.token(), nil
}

// Shutdown makes the agent end.
func (c Client) Shutdown(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/shutdown", nil, nil)
}

// Backup writes a copy of the keystore to w. ErrCut means that what was written is not whole.
func (c Client) Backup(ctx context.Context, w io.Writer) error {
	return c.do(ctx, http.MethodGet, "/v1/backup", nil, func(r *http.Response) error {
		_, err := io.Copy(w, r.Body)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return ErrCut
		}
		return err
	})
}

func loginPath(name string) string { return "/v1/logins/" + url.PathEscape(name) }

// call sends in as JSON and reads the answer into out; either may be nil.
func (c Client) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("ask agent: %w", err)
		}
		defer clear(body)
	}
	answer, err := c.ask(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer clear(answer)
	if out == nil {
		return nil
	}
	// An agent of another release may say more: what is unknown is ignored.
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("ask agent: read answer: %w", hideValue(err))
	}
	return nil
}

// ask returns the body of the answer, which the caller wipes.
func (c Client) ask(ctx context.Context, method, path string, body []byte) (answer []byte, err error) {
	if len(body) > maxBody {
		return nil, cli.Fail(cli.Usage, fmt.Errorf("ask agent: %w", ErrTooLarge), "")
	}
	err = c.do(ctx, method, path, body, func(r *http.Response) error {
		answer, err = readBody(r.Body, r.ContentLength)
		return err
	})
	return answer, err
}

// do makes one request over a connection of its own and hands a good answer to use.
func (c Client) do(ctx context.Context, method, path string, body []byte, use func(*http.Response) error) error {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = maxWait
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the answer is there, or the error is
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask agent: %w", err)
	}
	req.Close = true
	resp, err := exchange(conn, req)
	if err != nil {
		return askError(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // nothing can be lost by it
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	if err := use(resp); err != nil {
		return askError(ctx, err)
	}
	return nil
}

func (c Client) dial(ctx context.Context) (net.Conn, error) {
	conn, err := sock.Dial(ctx, c.Path)
	if errors.Is(err, sock.ErrNobody) {
		return nil, fmt.Errorf("%w: %w", ErrNoAgent, err)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to agent: %w", err)
	}
	return conn, nil
}

// exchange sends and reads the answer. An agent that refuses a body answers before it has read all of it: then the
// answer counts, not that writing failed.
func exchange(conn net.Conn, req *http.Request) (*http.Response, error) {
	writeErr := req.Write(conn)
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, errors.Join(writeErr, err)
	}
	return resp, nil
}

func askError(ctx context.Context, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("ask agent: %w", err)
}

// refusal is the error in an answer.
func refusal(resp *http.Response) error {
	b, err := readBody(resp.Body, resp.ContentLength)
	if err != nil {
		return fmt.Errorf("ask agent: %w", err)
	}
	var body errorBody
	if json.Unmarshal(b, &body) != nil || body.Error == "" {
		return fmt.Errorf("ask agent: status %d without a reason", resp.StatusCode)
	}
	return body.failure()
}
