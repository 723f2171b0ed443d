package control

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// The values of Returned.Outcome: what became of a mytoken that was lent.
const (
	LentUsed    = "used"    // the server did what was asked
	LentDenied  = "denied"  // it refused, and left the mytoken alone
	LentRefused = "refused" // it does not take this mytoken any more
	LentUnsent  = "unsent"  // it was never asked
	LentUnknown = "unknown" // no answer arrived
)

// Returned is what a borrower says about a mytoken.
type Returned struct {
	Next    secret.Text // what it was replaced by, empty where it was not; the lender wipes it
	Outcome string      // one of the constants above
}

// Lender lends the mytoken of a login to a command that makes a request with it.
type Lender interface {
	// Lend calls use with the mytoken of a login. While it is out, nobody else uses a mytoken that may be replaced by its
	// use. What use returns as the next one is durable before Lend returns. use is called again when the mytoken was
	// refused and there is another one to try, and not at all when there is none. It has half a minute, and keeps nothing.
	// Nil means that use was called and that its last outcome is known to the lender.
	Lend(ctx context.Context, name string, use func(ctx context.Context, mt secret.Text) Returned) error
}

// loans are the mytokens that are out.
type loans struct {
	mu  sync.Mutex
	out map[string]chan Returned
}

func newLoans() *loans { return &loans{out: map[string]chan Returned{}} }

func (l *loans) open() (id string, back chan Returned) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id, back = rand.Text(), make(chan Returned, 1)
	l.out[id] = back
	return id, back
}

// take ends a loan; nil when there is none of this name.
func (l *loans) take(id string) chan Returned {
	l.mu.Lock()
	defer l.mu.Unlock()
	back := l.out[id]
	delete(l.out, id)
	return back
}

// loanBody is one line of the answer to a borrower: a mytoken, or how it ended.
type loanBody struct {
	ID      string     `json:"id,omitempty"`
	Mytoken []byte     `json:"mytoken,omitempty"`
	Error   *errorBody `json:"error,omitempty"`
}

type returnBody struct {
	Next    []byte `json:"next,omitempty"`
	Outcome string `json:"outcome"`
}

// lend writes one line for each mytoken that is tried and one for the end. A borrower that dies closes the connection:
// nobody knows then what became of the mytoken.
func (h handler) lend(w http.ResponseWriter, r *http.Request) error {
	begun := false
	line := func(body loanBody) error {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		defer clear(b)
		if !begun {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Cache-Control", "no-store")
			begun = true
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			return err
		}
		return http.NewResponseController(w).Flush()
	}
	err := h.b.Lend(r.Context(), r.PathValue("name"), func(ctx context.Context, mt secret.Text) (got Returned) {
		got.Outcome = LentUnsent
		id, back := h.lent.open()
		err := expose(mt, func(b []byte) error { return line(loanBody{ID: id, Mytoken: b}) })
		if err != nil {
			h.lent.take(id)
			return got
		}
		select {
		case got = <-back:
			return got
		case <-ctx.Done(): // its time is over
		case <-r.Context().Done(): // the borrower is gone
		}
		if h.lent.take(id) == nil { // it came just now
			return <-back
		}
		got.Outcome = LentUnknown
		return got
	})
	if err != nil && !begun {
		return err
	}
	end := loanBody{}
	if err != nil {
		body := fault(err)
		end.Error = &body
	}
	_ = line(end) // a borrower that is gone by now is not told
	return nil
}

func (h handler) giveBack(w http.ResponseWriter, r *http.Request) error {
	var body returnBody
	if err := read(r, &body); err != nil {
		return err
	}
	switch body.Outcome {
	case LentUsed, LentDenied, LentRefused, LentUnsent, LentUnknown:
	default:
		clear(body.Next)
		return cli.Failf(cli.Usage, "outcome is not known")
	}
	back := h.lent.take(r.PathValue("id"))
	if back == nil {
		clear(body.Next)
		return cli.Failf(cli.NotFound, "this mytoken is not lent any more")
	}
	back <- Returned{Next: secret.New(body.Next), Outcome: body.Outcome}
	return reply(w, infoBody{}, nil)
}

// Lend calls use with the mytoken of a login. A mytoken that could not be given back is an error, and what use returned
// is not kept then.
func (c Client) Lend(ctx context.Context, name string, use func(ctx context.Context, mt secret.Text) Returned) error {
	return c.do(ctx, http.MethodPost, loginPath(name)+"/lend", nil, func(resp *http.Response) error {
		lines := bufio.NewReader(io.LimitReader(resp.Body, maxBody))
		for {
			body, err := readLoan(lines)
			if err != nil {
				return err
			}
			if body.ID == "" {
				if body.Error != nil {
					return body.Error.failure()
				}
				return nil
			}
			mt := secret.New(body.Mytoken)
			got := use(ctx, mt)
			mt.Wipe()
			if err := c.giveBack(context.WithoutCancel(ctx), body.ID, got); err != nil {
				return err
			}
		}
	})
}

func readLoan(lines *bufio.Reader) (loanBody, error) {
	var body loanBody
	b, err := lines.ReadBytes('\n')
	defer clear(b)
	if err != nil {
		return body, fmt.Errorf("the agent broke off: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	if err := json.Unmarshal(b, &body); err != nil {
		return body, fmt.Errorf("read answer: %w", hideValue(err))
	}
	return body, nil
}

// giveBack has its own time: the mytoken has to come home although somebody pressed Ctrl-C.
func (c Client) giveBack(ctx context.Context, id string, got Returned) error {
	defer got.Next.Wipe()
	body := returnBody{Outcome: got.Outcome}
	if got.Next.Empty() {
		return c.call(ctx, http.MethodPost, "/v1/lent/"+url.PathEscape(id), body, nil)
	}
	return expose(got.Next, func(b []byte) error {
		body.Next = b
		return c.call(ctx, http.MethodPost, "/v1/lent/"+url.PathEscape(id), body, nil)
	})
}
