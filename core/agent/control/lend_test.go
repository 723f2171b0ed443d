package control

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// lender lends as a test says.
type lender struct {
	Backend
	lend func(ctx context.Context, use func(context.Context, secret.Text) Returned) error
}

func (l *lender) Lend(ctx context.Context, _ string, use func(context.Context, secret.Text) Returned) error {
	return l.lend(ctx, use)
}

func TestLend(t *testing.T) {
	t.Run("there_and_back", func(t *testing.T) {
		var got Returned
		c := start(t, &lender{lend: func(ctx context.Context, use func(context.Context, secret.Text) Returned) error {
			got = use(ctx, secret.FromString("first"))
			return nil
		}})
		err := c.Lend(t.Context(), "kit", func(_ context.Context, mt secret.Text) Returned {
			if mt.Expose() != "first" {
				t.Errorf("lent %q", mt.Expose())
			}
			return Returned{Next: secret.FromString("second"), Outcome: LentUsed}
		})
		if err != nil || got.Outcome != LentUsed || got.Next.Expose() != "second" {
			t.Errorf("%v %+v", err, got)
		}
	})
	t.Run("another_one_to_try", func(t *testing.T) {
		c := start(t, &lender{lend: func(ctx context.Context, use func(context.Context, secret.Text) Returned) error {
			use(ctx, secret.FromString("one"))
			use(ctx, secret.FromString("two"))
			return cli.Failf(cli.Human, "log in again")
		}})
		var seen []string
		err := c.Lend(t.Context(), "kit", func(_ context.Context, mt secret.Text) Returned {
			seen = append(seen, mt.Expose())
			return Returned{Outcome: LentRefused}
		})
		var coded *cli.Error
		if !errors.As(err, &coded) || coded.Code != cli.Human || strings.Join(seen, " ") != "one two" {
			t.Errorf("%v %q", err, seen)
		}
	})
	t.Run("none", func(t *testing.T) {
		c := start(t, &lender{lend: func(context.Context, func(context.Context, secret.Text) Returned) error {
			return cli.Failf(cli.NotFound, "no such login")
		}})
		var coded *cli.Error
		if err := c.Lend(t.Context(), "kit", nil); !errors.As(err, &coded) || coded.Code != cli.NotFound {
			t.Errorf("%v", err)
		}
	})
	t.Run("no_outcome_that_is_known", func(t *testing.T) {
		c := start(t, &lender{lend: func(ctx context.Context, use func(context.Context, secret.Text) Returned) error {
			ctx, stop := context.WithTimeout(ctx, 100*time.Millisecond)
			defer stop()
			if got := use(ctx, secret.FromString("one")); got.Outcome != LentUnknown || !got.Next.Empty() {
				t.Errorf("%+v", got)
			}
			return nil
		}})
		err := c.Lend(t.Context(), "kit", func(context.Context, secret.Text) Returned {
			return Returned{Next: secret.FromString("x"), Outcome: "eaten"}
		})
		if err == nil {
			t.Error("taken")
		}
	})
}

// TestLentOnce: a mytoken is given back once, in its time, and by its borrower.
func TestLentOnce(t *testing.T) {
	outcomes := make(chan Returned, 1)
	c := start(t, &lender{lend: func(ctx context.Context, use func(context.Context, secret.Text) Returned) error {
		ctx, stop := context.WithTimeout(ctx, 20*time.Second)
		defer stop()
		outcomes <- use(ctx, secret.FromString("one"))
		return nil
	}})
	t.Run("unknown_loan", func(t *testing.T) {
		err := c.giveBack(t.Context(), "nobody's", Returned{Outcome: LentUsed})
		var coded *cli.Error
		if !errors.As(err, &coded) || coded.Code != cli.NotFound {
			t.Errorf("%v", err)
		}
	})
	t.Run("many_at_once", func(t *testing.T) {
		var good, bad int
		err := c.do(t.Context(), http.MethodPost, loginPath("kit")+"/lend", nil, func(r *http.Response) error {
			lines := bufio.NewReader(r.Body)
			body, err := readLoan(lines)
			if err != nil {
				return err
			}
			var mu sync.Mutex
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					err := c.giveBack(t.Context(), body.ID, Returned{Outcome: LentUsed})
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						good++
					} else {
						bad++
					}
				})
			}
			all.Wait()
			_, err = readLoan(lines)
			return err
		})
		if got := <-outcomes; err != nil || good != 1 || bad != 7 || got.Outcome != LentUsed {
			t.Errorf("%v: taken %d times, %+v", err, good, got)
		}
	})
	t.Run("borrower_dies", func(t *testing.T) {
		conn, err := net.Dial("unix", c.Path)
		if err != nil {
			t.Fatal(err)
		}
		const request = "POST /v1/logins/kit/lend HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\n\r\n"
		if _, err := conn.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q %v", line, err)
		}
		_ = conn.Close()
		select {
		case got := <-outcomes:
			if got.Outcome != LentUnknown {
				t.Errorf("%+v", got)
			}
		case <-time.After(15 * time.Second):
			t.Error("it is waited for a borrower that is dead")
		}
	})
}
