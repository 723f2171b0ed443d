package proto

import (
	"container/list"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// conn is one connection: one request, one answer.
type conn struct {
	net.Conn
	s     *server
	place *list.Element // among the waiting; guarded by server.mu
	busy  bool          // has a whole request; guarded by server.mu
}

// refuse tells a client that every place is taken by a request that runs.
func (c *conn) refuse() {
	defer c.Close() //nolint:errcheck // nothing to save
	c.send([]byte(`{"status":"failure","error":"` + TextBusy + `"}`))
}

func (c *conn) serve() {
	defer c.Close() //nolint:errcheck // the answer is written, or there is nobody to tell
	defer c.s.leave(c)
	p, err := sock.Admit(c.Conn, c.s.o.Allow)
	if err != nil {
		c.s.log.Warn("refused a connection", "uid", p.UID, "pid", p.PID, "err", err)
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(c.s.o.Silent))
	in := &inbox{r: c.Conn, max: MaxRequest}
	begun := false
	in.read = func() {
		if !begun {
			begun = true
			_ = c.SetReadDeadline(time.Now().Add(c.s.o.Partial))
		}
	}
	defer in.wipe()
	first, err := in.first()
	if err != nil {
		return // said nothing: nothing to answer
	}
	if first == '{' {
		c.plain(p, in)
		return
	}
	c.encrypted(p, in)
}

// plain serves a request that came as bare JSON.
func (c *conn) plain(p sock.Peer, in *inbox) {
	text, err := in.object()
	if err != nil {
		c.complain(err)
		return
	}
	if out := c.respond(p, text); out != nil {
		c.send(out)
		clear(out)
	}
}

// encrypted serves a request that begins with a public key. What cannot be decrypted is answered in plain text.
func (c *conn) encrypted(p sock.Peer, in *inbox) {
	peer, err := in.peerKey()
	if err != nil {
		c.complain(err)
		return
	}
	own, err := newKey()
	if err != nil {
		c.s.log.Error("cannot answer", "err", err)
		return
	}
	// Sent before the key is agreed on, so that both sides calculate at the same time.
	if !c.send(publicText(own)) {
		return
	}
	s, err := newSession(own, peer)
	if err != nil {
		c.complain(err)
		return
	}
	defer s.wipe()
	in.max = wireSize(MaxRequest)
	text, err := in.sealed(s)
	if err != nil {
		c.complain(err)
		return
	}
	defer clear(text)
	if out := c.respond(p, text); out != nil {
		c.send(s.seal(out))
		clear(out)
	}
}

// respond returns the answer to the request in text, nil when the connection was given up.
func (c *conn) respond(p sock.Peer, text []byte) []byte {
	if !c.s.promote(c) {
		return nil
	}
	rep := c.reply(p, text)
	defer rep.Wipe()
	out, err := encodeReply(&rep)
	if err == nil && len(out) > MaxReply {
		clear(out)
		err = ErrTooLarge
	}
	if err != nil {
		c.s.log.Error("cannot answer", "err", err)
		failure := Failure("internal error", "")
		out, _ = encodeReply(&failure)
	}
	return out
}

func (c *conn) reply(p sock.Peer, text []byte) Reply {
	req, err := decodeRequest(text)
	switch {
	case errors.Is(err, ErrMalformed):
		return Failure(TextNotJSON, "")
	case err != nil:
		return Failure(TextBadRequest+err.Error(), "")
	case req.Type == "":
		req.Wipe()
		return Failure(TextNoType, "")
	}
	defer req.Wipe()
	req.peer = c.Conn
	return c.s.answer(p, req)
}

// complain answers a message that could not be read, in plain text. A client that is gone or never spoke gets nothing.
func (c *conn) complain(err error) {
	text := TextNotJSON
	switch {
	case errors.Is(err, ErrTooLarge):
		text = TextBadRequest + ErrTooLarge.Error()
	case errors.Is(err, ErrMalformed), errors.Is(err, io.ErrUnexpectedEOF):
	case errors.Is(err, os.ErrDeadlineExceeded):
		text = TextBadRequest + "the request did not end"
	default:
		return
	}
	f := Failure(text, "")
	if out, err := encodeReply(&f); err == nil {
		c.send(out)
	}
}

// send writes b with one write, as clients read once.
func (c *conn) send(b []byte) bool {
	_ = c.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := c.Write(b)
	return err == nil
}
