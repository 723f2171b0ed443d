package service

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
)

// Bounds of what a person is asked.
const (
	maxWindows = 4  // questions on the agent's own screen at a time
	maxGuests  = 2  // of these, for sockets that others can reach: they must not keep the owner from being asked
	maxPosted  = 16 // questions that wait for the terminal of a client
	// postedLife is how long a client's terminal has for one answer.
	postedLife = 120 * time.Second
	// attendTime is how long a client may take to show a question: one that does not come to the control socket for
	// it is none of ours, or not on this machine.
	attendTime = 10 * time.Second
	// windowLife is how long a question on the screen waits.
	windowLife = 300 * time.Second
)

// errNoQuestion is returned for a question that is not there (any more).
var errNoQuestion = errors.New("there is no such question; it may have waited too long")

// desk is where questions lie until a person has answered.
type desk struct {
	windows chan struct{} // holds one for each question on the screen
	guests  chan struct{} // one of these as well
	attend  time.Duration // attendTime, but for tests

	mu      sync.Mutex
	posted  map[string]*posted
	runs    map[string]*sharedRun
	refused map[string]refusals // by way.guest
}

func newDesk() *desk {
	return &desk{
		windows: make(chan struct{}, maxWindows), guests: make(chan struct{}, maxGuests), attend: attendTime,
		posted: make(map[string]*posted), runs: make(map[string]*sharedRun), refused: make(map[string]refusals),
	}
}

// window takes a place on the screen, or fails with ErrTooMany. Give it back with free.
func (d *desk) window(guest bool) (free func(), err error) {
	places := []chan struct{}{d.windows}
	if guest {
		places = append(places, d.guests)
	}
	var taken []chan struct{}
	free = func() {
		for _, p := range taken {
			<-p
		}
	}
	for _, p := range places {
		select {
		case p <- struct{}{}:
			taken = append(taken, p)
		default:
			free()
			return nil, ErrTooMany
		}
	}
	return free, nil
}

// posted is a question that waits at the control socket.
type posted struct {
	question control.Question
	until    time.Time

	attended chan struct{} // closed when somebody shows it
	answered chan struct{} // closed when answer or err is there
	over     chan struct{} // closed when nobody waits for it any more

	once   sync.Once // of answered
	mark   sync.Once // of attended
	answer prompt.Answer
	err    error
}

func (p *posted) settle(a prompt.Answer, err error) (first bool) {
	p.once.Do(func() {
		p.answer, p.err, first = a, err, true
		close(p.answered)
	})
	return first
}

// post lays a question down. Call take when nobody waits for it any more.
func (d *desk) post(q prompt.Question, now time.Time) (*posted, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.posted) >= maxPosted {
		return nil, ErrTooMany
	}
	p := &posted{
		question: control.Question{
			ID: rand.Text(), Kind: string(q.Kind), Title: q.Title, Text: q.Text, Label: q.Label, Choices: q.Choices,
			Default: q.Default, Retry: q.Retry,
		},
		until: now.Add(q.Timeout), attended: make(chan struct{}), answered: make(chan struct{}), over: make(chan struct{}),
	}
	d.posted[p.question.ID] = p
	return p, nil
}

// take removes a question. An answer that comes too late is wiped.
func (d *desk) take(p *posted) {
	d.mu.Lock()
	delete(d.posted, p.question.ID)
	d.mu.Unlock()
	close(p.over)
}

func (d *desk) find(id string) (*posted, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.posted[id]
	if !ok {
		return nil, errNoQuestion
	}
	return p, nil
}

// wait returns the answer to a posted question. The error is ErrNobody when no client shows it, else as of an Asker.
func (p *posted) wait(ctx context.Context, life, attendTime time.Duration) (prompt.Answer, error) {
	end := time.NewTimer(life)
	defer end.Stop()
	attend := time.NewTimer(attendTime)
	defer attend.Stop()
	shown := p.attended
	for {
		select {
		case <-p.answered:
			return p.answer, p.err
		case <-shown:
			attend.Stop()
			shown = nil
		case <-attend.C:
			select {
			case <-p.attended: // at the same moment
				continue
			default:
			}
			return p.late(prompt.ErrNobody)
		case <-end.C:
			return p.late(prompt.ErrTimeout)
		case <-ctx.Done():
			return p.late(ctx.Err())
		}
	}
}

// late gives up waiting, unless the answer has come in the same moment.
func (p *posted) late(err error) (prompt.Answer, error) {
	p.settle(prompt.Answer{}, err)
	return p.answer, p.err
}

// Question describes a question.
func (a Admin) Question(_ context.Context, id string) (control.Question, error) {
	p, err := a.s.desk.find(id)
	if err != nil {
		return control.Question{}, coded(err)
	}
	q := p.question
	q.Seconds = int64(remaining(p.until, a.s.opts.Now()) / time.Second)
	return q, nil
}

// Attend waits until a question is over.
func (a Admin) Attend(ctx context.Context, id string) error {
	p, err := a.s.desk.find(id)
	if err != nil {
		return coded(err)
	}
	p.mark.Do(func() { close(p.attended) })
	select {
	case <-p.over:
		return nil
	case <-ctx.Done():
		p.settle(prompt.Answer{}, errGivenUp)
		return ctx.Err()
	}
}

// Answer answers a question.
func (a Admin) Answer(_ context.Context, r control.AnswerRequest) error {
	p, err := a.s.desk.find(r.ID)
	if err != nil {
		return coded(err)
	}
	answer, outcome := prompt.Answer{Yes: r.Yes, Chosen: r.Chosen}, error(nil)
	if r.Cancelled {
		answer, outcome = prompt.Answer{}, prompt.ErrCancelled
	} else if !r.Text.Empty() {
		answer.Text = r.Text.Clone()
	}
	if !p.settle(answer, outcome) {
		answer.Text.Wipe()
		return coded(errNoQuestion)
	}
	return nil
}

// sharedRun is something that is being asked about, for all who need the same.
type sharedRun struct {
	done  chan struct{}
	err   error
	again bool // the client that ran it went away: the next in line runs its own
}

// once runs fn, or waits for the outcome of somebody else's of the same key. fn runs in the caller's place and under
// its ctx: when that ends, one of those who wait begins anew.
func (d *desk) once(ctx context.Context, key string, fn func(context.Context) error) error {
	for {
		d.mu.Lock()
		r, running := d.runs[key]
		if !running {
			r = &sharedRun{done: make(chan struct{})}
			d.runs[key] = r
			d.mu.Unlock()
			return d.lead(ctx, key, r, fn)
		}
		d.mu.Unlock()
		select {
		case <-r.done:
			if !r.again {
				return r.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *desk) lead(ctx context.Context, key string, r *sharedRun, fn func(context.Context) error) error {
	r.again = true // should fn panic
	defer func() {
		d.mu.Lock()
		delete(d.runs, key)
		d.mu.Unlock()
		close(r.done)
	}()
	err := fn(ctx)
	r.err, r.again = err, err != nil && (ctx.Err() != nil || errors.Is(err, prompt.ErrNobody) || errors.Is(err, errGivenUp))
	return err
}

// errGivenUp: the client at whose terminal the question stood went away.
var errGivenUp = errors.New("the client that was asked has gone")
