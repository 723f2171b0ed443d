package proto

import (
	"net"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// conn is one connection with a goroutine of its own.
type conn struct {
	net.Conn
	s *server
	seat
}

// refuse tells a client that every place is taken by a request that runs.
func (c *conn) refuse() {
	defer c.Close() //nolint:errcheck // nothing to save
	c.send(busyText())
}

func busyText() []byte { return []byte(`{"status":"failure","error":"` + TextBusy + `"}`) }

func (c *conn) serve() {
	defer c.Close() //nolint:errcheck // the answer is written, or there is nobody to tell
	defer c.s.leave(&c.seat)
	p, err := sock.Admit(c.Conn, c.s.o.Allow)
	if err != nil {
		c.s.log.Warn("refused a connection", "uid", p.UID, "pid", p.PID, "err", err)
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(c.s.o.Silent))
	d := dialogue{in: inbox{r: c.Conn, max: MaxRequest}, newKey: newKey, send: c.send}
	begun := false
	d.in.read = func() {
		if !begun {
			begun = true
			_ = c.SetReadDeadline(time.Now().Add(c.s.o.Partial))
		}
	}
	defer d.wipe()
	text, err := d.request()
	if err != nil {
		if out := d.complain(err); out != nil {
			c.send(out)
		}
		return
	}
	if !c.s.promote(&c.seat) {
		return // closed for another one
	}
	out := d.answer(c.s.respond(p, text, c.watched))
	c.send(out)
	clear(out)
}

// watched is the connection for Request.Watch.
func (c *conn) watched() (watchable, func(), error) { return c.Conn, func() {}, nil }

// send writes b with one write, as clients read once.
func (c *conn) send(b []byte) bool {
	_ = c.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := c.Write(b)
	return err == nil
}
