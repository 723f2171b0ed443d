package service

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Bounds of requests whose client asks the person.
const (
	maxTalks = 64
	// comeBack is how long an answer waits for its client: it has just been at the control socket.
	comeBack = 30 * time.Second
	// maxRelayName bounds what a client may call its request.
	maxRelayName = 128
)

// talk is a request that goes on while its client asks the person: it waits in a goroutine of its own, and the
// connections that repeat the request collect what it has to say, a question or the answer.
type talk struct {
	about [sha256.Size]byte // what the request was: only the same one may go on with it
	uid   uint32
	next  chan proto.Reply // not buffered: what nobody collects stays with the one who has it
	gone  chan struct{}    // closed when nothing will come any more
	end   context.CancelFunc

	mu   sync.Mutex
	held bool // a connection waits
}

func (t *talk) hold() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.held
	t.held = true
	return !was
}

func (t *talk) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = false
}

// talks are the requests that go on, by the name their client gave them.
type talks struct {
	mu   sync.Mutex
	rows map[string]*talk
}

// drop ends the use of a name.
func (ts *talks) drop(name string, t *talk) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.rows[name] == t {
		delete(ts.rows, name)
	}
}

// relayed reports whether questions of this request may go to the terminal of its client.
func relayed(r proto.Request) bool {
	switch r.Type {
	case proto.TypeAccessToken, proto.TypeIDToken, proto.TypeMytoken:
		return r.Relay != "" && len(r.Relay) <= maxRelayName
	}
	return false
}

// essence is what a request asks for.
func essence(r proto.Request) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d %q %q %q %q",
		r.Type, r.Account, r.Issuer, r.MinValid, r.Scope, r.Audience, r.Hint, r.MytokenProfile))
}

// converse answers a request of a client that can ask the person: with a question, or with the answer.
func (s *Service) converse(ctx context.Context, p sock.Peer, r proto.Request) proto.Reply {
	t, err := s.talkOf(p, r)
	if err != nil {
		return failure(err, nameIn(r))
	}
	if !t.hold() {
		return proto.Failure(proto.TextBusy, "This request is being answered on another connection.")
	}
	defer t.release()
	ctx, stop := r.Watch(ctx)
	defer stop()
	select {
	case rep := <-t.next:
		if rep.Ask == "" {
			s.talks.drop(r.Relay, t)
		}
		return rep
	case <-t.gone:
		return proto.Failure(proto.TextTimeout, "The answer was not collected in time.")
	case <-ctx.Done():
		t.end() // the client has gone, and with it the one who could be asked
		return failure(ctx.Err(), nameIn(r))
	}
}

// talkOf is the talk that a request goes on with, or a new one.
func (s *Service) talkOf(p sock.Peer, r proto.Request) (*talk, error) {
	s.talks.mu.Lock()
	defer s.talks.mu.Unlock()
	if t, ok := s.talks.rows[r.Relay]; ok {
		if t.about != essence(r) || t.uid != p.UID {
			return nil, badRequest("relay names another request")
		}
		return t, nil
	}
	if len(s.talks.rows) >= maxTalks {
		return nil, ErrTooMany
	}
	ctx, cancel := context.WithCancel(s.running)
	t := &talk{about: essence(r), uid: p.UID, next: make(chan proto.Reply), gone: make(chan struct{}), end: cancel}
	s.talks.rows[r.Relay] = t
	name, w := r.Relay, way{peer: p, hint: r.Hint, talk: t}
	r.Relay = ""
	s.wg.Go(func() {
		defer cancel()
		defer close(t.gone)
		defer s.talks.drop(name, t)
		rep := s.reply(withWay(ctx, w), r)
		select {
		case t.next <- rep:
		case <-ctx.Done():
			rep.Wipe()
		case <-time.After(comeBack):
			rep.Wipe()
		}
	})
	return t, nil
}

// byRelay has the client ask.
func (s *Service) byRelay(ctx context.Context, t *talk, q prompt.Question) (prompt.Answer, error) {
	life := q.Timeout
	if life <= 0 {
		life = postedLife
	}
	q.Timeout = life
	p, err := s.desk.post(q, s.opts.Now())
	if err != nil {
		return prompt.Answer{}, fmt.Errorf("%w: %w", prompt.ErrNobody, err)
	}
	defer s.desk.take(p)
	ask := proto.Failure(textAsk, "Only a client that knows how can go on from here.")
	ask.Ask = p.question.ID
	late := time.NewTimer(s.desk.attend)
	defer late.Stop()
	select {
	case t.next <- ask:
	case <-late.C:
		return prompt.Answer{}, prompt.ErrNobody
	case <-ctx.Done():
		return prompt.Answer{}, ctx.Err()
	}
	return p.wait(ctx, life, s.desk.attend)
}

// textAsk is the error of an answer that holds a question.
const textAsk = "a question has to be answered first"
