package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// SockName is the name of the socket in sock.RuntimeDir.
const SockName = "control.sock"

// Path is where the agent listens: SockName in sock.RuntimeDir, which is made if need be. Clients use Place.
func Path(getenv func(string) string) (string, error) {
	dir, err := sock.RuntimeDir(getenv)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, SockName), nil
}

// Place is the path without making or looking at anything.
func Place(getenv func(string) string) string {
	return filepath.Join(sock.RuntimePath(getenv), SockName)
}

// Serve answers the connections of ln until ctx ends, and then returns nil. Peers that do not run as us are closed
// without a word. It closes ln.
func Serve(ctx context.Context, ln net.Listener, b Backend, log *slog.Logger) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return httpd.Serve(ctx, &ownListener{Listener: ln, log: log}, Handler(b), httpd.Options{Log: log})
}

// ownListener gives out connections of our own processes only.
type ownListener struct {
	net.Listener
	log *slog.Logger
}

func (l *ownListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p, err := sock.Admit(c, nil)
		if err == nil {
			return c, nil
		}
		l.log.Warn("refused a control connection", "uid", p.UID, "pid", p.PID, "err", err)
		_ = c.Close()
	}
}

// Handler is the API at a glance. It trusts its caller to have looked at the peer (Serve does).
func Handler(b Backend) http.Handler {
	h := handler{b: b, lent: newLoans()}
	mux := http.NewServeMux()
	for pattern, fn := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /v1/status":                 h.status,
		"POST /v1/keystore":              h.create,
		"POST /v1/unlock":                h.unlock,
		"POST /v1/lock":                  h.lock,
		"GET /v1/logins":                 h.logins,
		"POST /v1/logins":                h.saveLogin,
		"POST /v1/logins/{name}/load":    h.loadLogin,
		"GET /v1/logins/{name}/config":   h.exportLogin,
		"POST /v1/logins/{name}/lend":    h.lend,
		"POST /v1/lent/{id}":             h.giveBack,
		"DELETE /v1/logins/{name}":       h.removeLogin,
		"POST /v1/rekey":                 h.rekey,
		"POST /v1/import":                h.importLogin,
		"GET /v1/backup":                 h.backup,
		"GET /v1/slots":                  h.slots,
		"POST /v1/slots":                 h.addSlot,
		"DELETE /v1/slots/{id}":          h.removeSlot,
		"GET /v1/questions/{id}":         h.question,
		"POST /v1/questions/{id}/attend": h.attend,
		"POST /v1/questions/{id}":        h.answer,
		"POST /v1/token":                 h.token,
		"POST /v1/shutdown":              h.shutdown,
		"POST /v1/grant":                 h.grant,
		"POST /v1/revoke":                h.revoke,
		"GET /v1/shares":                 h.shares,
		"POST /v1/shares":                h.share,
		"POST /v1/shares/end":            h.unshare,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			allowTime(w)
			if err := fn(w, r); err != nil {
				refuse(w, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, cli.Failf(cli.Usage, "there is no %s %s", r.Method, r.URL.Path))
	})
	return mux
}

// allowTime replaces the server's short limits: a request may wait for a provider, a key derivation or a person. Both
// ways, because net/http ends the request's context when the read deadline passes under a running handler.
func allowTime(w http.ResponseWriter) {
	until := time.Now().Add(maxWait)
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(until)
	_ = rc.SetWriteDeadline(until)
}

type handler struct {
	b    Backend
	lent *loans
}

func (h handler) status(w http.ResponseWriter, r *http.Request) error {
	s, err := h.b.Status(r.Context())
	return reply(w, s, err)
}

func (h handler) create(w http.ResponseWriter, r *http.Request) error {
	var body createBody
	if err := read(r, &body); err != nil {
		return err
	}
	pass := secret.New(body.Passphrase)
	defer pass.Wipe()
	return reply(w, infoBody{}, h.b.Create(r.Context(), pass))
}

func (h handler) unlock(w http.ResponseWriter, r *http.Request) error {
	var body unlockBody
	if err := read(r, &body); err != nil {
		return err
	}
	u := Unlock{Passphrase: secret.New(body.Passphrase), KeyFile: body.KeyFile, Keyring: body.Keyring, SSHAgent: body.SSHAgent}
	defer u.Passphrase.Wipe()
	if u.count() != 1 {
		return cli.Failf(cli.Usage, "give one of passphrase, key file, keyring and ssh-agent")
	}
	return reply(w, infoBody{}, h.b.Unlock(r.Context(), u))
}

func (h handler) lock(w http.ResponseWriter, r *http.Request) error {
	return reply(w, infoBody{}, h.b.Lock(r.Context()))
}

func (h handler) logins(w http.ResponseWriter, r *http.Request) error {
	l, err := h.b.Logins(r.Context())
	return reply(w, l, err)
}

func (h handler) saveLogin(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(r.Body, r.ContentLength)
	if err != nil {
		return badBody(err)
	}
	config := secret.New(body)
	defer config.Wipe()
	return reply(w, infoBody{}, h.b.SaveLogin(r.Context(), config))
}

func (h handler) loadLogin(w http.ResponseWriter, r *http.Request) error {
	var o LoadOptions
	if err := read(r, &o); err != nil {
		return err
	}
	info, err := h.b.LoadLogin(r.Context(), r.PathValue("name"), o)
	return reply(w, infoBody{Info: info}, err)
}

func (h handler) exportLogin(w http.ResponseWriter, r *http.Request) error {
	config, err := h.b.ExportLogin(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	defer config.Wipe()
	w.Header().Set("Content-Type", "application/json")
	return config.Use(func(b []byte) error {
		_, err := w.Write(b)
		return err
	})
}

func (h handler) removeLogin(w http.ResponseWriter, r *http.Request) error {
	return reply(w, infoBody{}, h.b.RemoveLogin(r.Context(), r.PathValue("name")))
}

// backup streams. An error after the first byte cannot be answered any more: the connection is cut, so that the client
// sees that the copy is not whole.
func (h handler) backup(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	out := &noted{w: w}
	err := h.b.Backup(r.Context(), out)
	if err != nil && out.begun {
		panic(http.ErrAbortHandler)
	}
	return err
}

// noted remembers that something was written.
type noted struct {
	w     io.Writer
	begun bool
}

func (n *noted) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil // writing nothing would begin the answer all the same
	}
	n.begun = true
	return n.w.Write(b)
}

func (h handler) slots(w http.ResponseWriter, r *http.Request) error {
	s, err := h.b.Slots(r.Context())
	return reply(w, s, err)
}

func (h handler) addSlot(w http.ResponseWriter, r *http.Request) error {
	var body slotBody
	if err := read(r, &body); err != nil {
		return err
	}
	n := NewSlot{
		Kind: body.Kind, Label: body.Label, KeyFile: body.KeyFile, Passphrase: secret.New(body.Passphrase),
		SSHAgent: body.SSHAgent, SSHKey: body.SSHKey,
	}
	defer n.Passphrase.Wipe()
	s, err := h.b.AddSlot(r.Context(), n)
	return reply(w, s, err)
}

func (h handler) removeSlot(w http.ResponseWriter, r *http.Request) error {
	return reply(w, infoBody{}, h.b.RemoveSlot(r.Context(), r.PathValue("id")))
}

func (h handler) question(w http.ResponseWriter, r *http.Request) error {
	q, err := h.b.Question(r.Context(), r.PathValue("id"))
	return reply(w, q, err)
}

// attend waits. net/http ends the context when the client has hung up.
func (h handler) attend(w http.ResponseWriter, r *http.Request) error {
	return reply(w, infoBody{}, h.b.Attend(r.Context(), r.PathValue("id")))
}

func (h handler) answer(w http.ResponseWriter, r *http.Request) error {
	var body answerBody
	if err := read(r, &body); err != nil {
		return err
	}
	a := AnswerRequest{
		ID: r.PathValue("id"), Text: secret.New(body.Text), Yes: body.Yes, Chosen: body.Chosen, Cancelled: body.Cancelled,
	}
	defer a.Text.Wipe()
	return reply(w, infoBody{}, h.b.Answer(r.Context(), a))
}

func (h handler) token(w http.ResponseWriter, r *http.Request) error {
	var req TokenRequest
	if err := read(r, &req); err != nil {
		return err
	}
	t, err := h.b.Token(r.Context(), req)
	if err != nil {
		return err
	}
	defer t.Access.Wipe()
	return expose(t.Access, func(b []byte) error { return reply(w, bodyOf(t, b), nil) })
}

func (h handler) shutdown(w http.ResponseWriter, r *http.Request) error {
	return reply(w, infoBody{}, h.b.Shutdown(r.Context()))
}

// read decodes the body of r; an empty one leaves into as it is.
func read(r *http.Request, into any) error {
	b, err := readBody(r.Body, r.ContentLength)
	if err != nil {
		return badBody(err)
	}
	defer clear(b)
	if len(b) == 0 {
		return nil
	}
	if err := decode(b, into); err != nil {
		return cli.Fail(cli.Usage, err, "")
	}
	return nil
}

func badBody(err error) error {
	if errors.Is(err, ErrTooLarge) {
		return cli.Fail(cli.Usage, err, "")
	}
	return fmt.Errorf("read body: %w", err)
}

// reply writes v, or returns err.
func reply(w http.ResponseWriter, v any, err error) error {
	if err != nil {
		return err
	}
	return write(w, http.StatusOK, v)
}

func refuse(w http.ResponseWriter, err error) {
	body := fault(err)
	// A client that is gone by now is not told.
	_ = write(w, httpStatus(body.Code), body)
}

func write(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	defer clear(b)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b)
	return nil
}

// httpStatus goes with an exit code, for people with curl; our client reads the code in the body.
func httpStatus(code int) int {
	switch code {
	case cli.Usage:
		return http.StatusBadRequest
	case cli.NotFound:
		return http.StatusNotFound
	case cli.Denied:
		return http.StatusForbidden
	case cli.Temporary:
		return http.StatusServiceUnavailable
	case cli.Human:
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}
