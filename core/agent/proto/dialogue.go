package proto

import (
	"crypto/ecdh"
	"errors"
	"io"
	"os"
)

// stage is how far a dialogue has come.
type stage int

const (
	stageFirst  stage = iota // nothing is known yet
	stagePlain               // the request comes as bare JSON
	stageKey                 // the client's public key comes
	stageSealed              // the request comes encrypted
)

// errSilent is the end of a connection that said nothing: there is nothing to answer.
var errSilent = errors.New("the client said nothing")

// dialogue is the agent's side of one connection: it collects the request in either dialect and says how the answer
// goes out. It waits only as far as the reader of its inbox does.
type dialogue struct {
	in      inbox
	newKey  func() (*ecdh.PrivateKey, error)
	send    func([]byte) bool
	stage   stage
	session *session
	text    []byte // of an encrypted request
}

// request returns the text of the request, which lives until wipe. With errAgain it is to be called again when there is
// more to read. With errSilent there is nothing to answer; with any other error, complaint says what.
func (d *dialogue) request() ([]byte, error) {
	if d.stage == stageFirst {
		first, err := d.in.first()
		switch {
		case errors.Is(err, errAgain):
			return nil, err
		case err != nil:
			return nil, errSilent
		case first == '{':
			d.stage = stagePlain
		default:
			d.stage = stageKey
		}
	}
	if d.stage == stagePlain {
		return d.in.object()
	}
	if d.stage == stageKey {
		if err := d.agree(); err != nil {
			return nil, err
		}
		d.stage = stageSealed
	}
	text, err := d.in.sealed(d.session)
	d.text = text
	return text, err
}

// agree exchanges keys. What cannot be decrypted afterwards is answered in plain text.
func (d *dialogue) agree() error {
	peer, err := d.in.peerKey()
	if err != nil {
		return err
	}
	own, err := d.newKey()
	if err != nil {
		return err
	}
	// Sent before the key is agreed on, so that both sides calculate at the same time.
	if !d.send(publicText(own)) {
		return errSilent
	}
	if d.session, err = newSession(own, peer); err != nil {
		return err
	}
	d.in.max = wireSize(MaxRequest)
	return nil
}

// answer is the message that carries the text of the answer, which is wiped if it is another one.
func (d *dialogue) answer(text []byte) []byte {
	if d.session == nil {
		return text
	}
	defer clear(text)
	return d.session.seal(text)
}

// wipe clears what was said.
func (d *dialogue) wipe() {
	d.in.wipe()
	clear(d.text)
	if d.session != nil {
		d.session.wipe()
	}
}

// complain is the answer to a message that could not be read: in cipher once there are keys, because the original's Go
// library reads nothing else then; in plain text where the keys do not seem to fit. It is nil for a client that is gone
// or never spoke.
func (d *dialogue) complain(err error) []byte {
	out := complaint(err)
	if out == nil || d.session == nil || !errors.Is(err, ErrTooLarge) && !errors.Is(err, os.ErrDeadlineExceeded) {
		return out
	}
	return d.answer(out)
}

// complaint is what complain says, in plain text.
func complaint(err error) []byte {
	text := TextNotJSON
	switch {
	case errors.Is(err, ErrTooLarge):
		text = TextBadRequest + ErrTooLarge.Error()
	case errors.Is(err, ErrMalformed), errors.Is(err, io.ErrUnexpectedEOF):
	case errors.Is(err, os.ErrDeadlineExceeded):
		text = TextBadRequest + "the request did not end"
	default:
		return nil
	}
	f := Failure(text, "")
	out, err := encodeReply(&f, nil)
	if err != nil {
		return nil
	}
	return out
}
