package daemon

import "sync"

// Generation is what answers requests by one configuration. It embeds Users, and End, which is called once, waits for
// them (Users.Wait) before it closes what it has.
type Generation interface {
	comparable
	Hold()
	Release()
	End()
}

// Users counts the requests that a generation answers.
type Users struct{ wg sync.WaitGroup }

// Hold is called for a generation by Live.Acquire.
func (u *Users) Hold() { u.wg.Add(1) }

// Release ends what Live.Acquire began.
func (u *Users) Release() { u.wg.Done() }

// Wait waits until nobody uses the generation.
func (u *Users) Wait() { u.wg.Wait() }

// Live knows the generation that answers now. The zero value has none.
type Live[G Generation] struct {
	mu     sync.RWMutex
	now    G
	ending sync.WaitGroup // of those before
}

// Acquire returns the generation to answer one request with, which has to be released. Requests that began under an old
// configuration end under it. There has to be one.
func (l *Live[G]) Acquire() G {
	l.mu.RLock()
	defer l.mu.RUnlock()
	l.now.Hold()
	return l.now
}

// Current returns the generation that answers now, to be looked at; the zero value when there is none.
func (l *Live[G]) Current() G {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.now
}

// Swap lets next answer, and ends the one before when its last request has ended. It does not wait for that.
func (l *Live[G]) Swap(next G) {
	l.mu.Lock()
	old := l.now
	l.now = next
	l.mu.Unlock()
	var none G
	if old != none {
		l.ending.Go(old.End)
	}
}

// End closes what is left when nobody asks any more, and waits for it.
func (l *Live[G]) End() {
	var none G
	if g := l.Current(); g != none {
		g.End()
	}
	l.ending.Wait()
}
