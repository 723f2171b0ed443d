package remote

import (
	"container/list"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// answers are those that said yes, the least recently used thrown out first. One whose time is over stays until then:
// that its token was active once keeps it apart from invented ones.
type answers struct {
	room  int // bytes
	used  int
	order *list.List // of *kept, the last used in front
	byKey map[key]*list.Element
}

type kept struct {
	key  key
	said Said
	size int
}

// overhead is about what an entry needs beside its text.
const overhead = 1024

func newAnswers(room int) answers {
	return answers{room: room, order: list.New(), byKey: map[key]*list.Element{}}
}

func (a *answers) get(k key) (Said, bool) {
	e := a.byKey[k]
	if e == nil {
		return Said{}, false
	}
	a.order.MoveToFront(e)
	return e.Value.(*kept).said, true
}

func (a *answers) put(k key, said Said) {
	a.drop(k)
	n := &kept{key: k, said: said, size: overhead + 3*size(said.Introspection) + 2*size(said.Userinfo)}
	a.byKey[k] = a.order.PushFront(n)
	a.used += n.size
	for a.used > a.room && a.order.Len() > 0 {
		a.drop(a.order.Back().Value.(*kept).key)
	}
}

func (a *answers) drop(k key) {
	if e := a.byKey[k]; e != nil {
		a.used -= e.Value.(*kept).size
		a.order.Remove(e)
		delete(a.byKey, k)
	}
}

func size(o jose.Object) (n int) {
	for name, value := range o.All() {
		n += len(name) + len(value) + 40
	}
	return n
}

// refusals are few and short-lived: invented tokens fill this table and nothing else.
type refusals struct {
	order *list.List // of *refusal, the oldest in front
	byKey map[key]*list.Element
}

type refusal struct {
	key   key
	err   error
	until time.Time
}

const maxRefusals = 4096

func newRefusals() refusals { return refusals{order: list.New(), byKey: map[key]*list.Element{}} }

func (r *refusals) get(k key, now time.Time) error {
	e := r.byKey[k]
	if e == nil {
		return nil
	}
	if n := e.Value.(*refusal); now.Before(n.until) {
		return n.err
	}
	r.drop(e)
	return nil
}

func (r *refusals) put(k key, err error, until time.Time) {
	if e := r.byKey[k]; e != nil {
		r.drop(e)
	}
	r.byKey[k] = r.order.PushBack(&refusal{k, err, until})
	if r.order.Len() > maxRefusals {
		r.drop(r.order.Front())
	}
}

func (r *refusals) drop(e *list.Element) {
	r.order.Remove(e)
	delete(r.byKey, e.Value.(*refusal).key)
}
