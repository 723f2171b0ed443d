package keystore

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// EnvSSHAgent names the socket of the person's ssh-agent.
const EnvSSHAgent = "SSH_AUTH_SOCK"

const (
	// sshLimit is how long an ssh-agent may take. It may ask the person (ssh-add -c).
	sshLimit = 60 * time.Second
	// maxSSHMessage is that of OpenSSH's agent.
	maxSSHMessage = 256 << 10
	maxSSHKeys    = 2048

	challengeSize = 32
	sshKeyType    = "ssh-ed25519"
	// sshNamespace keeps a signature for us from being one for anything else (OpenSSH's PROTOCOL.sshsig).
	sshNamespace = "keystore@oidcbox"
)

// Messages of the ssh-agent protocol (draft-ietf-sshm-ssh-agent).
const (
	sshRequestKeys = 11
	sshAnswerKeys  = 12
	sshRequestSign = 13
	sshAnswerSign  = 14
)

// SSHAgent opens ssh-agent slots with a signature of the ssh-agent at a socket ($SSH_AUTH_SOCK).
func SSHAgent(socket string) Credential {
	return Credential{
		kinds: []Kind{KindSSHAgent},
		key:   func(ctx context.Context, s Slot) (secret.Text, error) { return signature(ctx, socket, s) },
		slot:  func() NewSlot { return NewSlot{Kind: KindSSHAgent, Path: socket} },
	}
}

// chooseSSHKey finds the Ed25519 key for a new slot: the one whose fingerprint or comment was given, else the only one.
// Other types are no use: an ECDSA signature is another one each time, and one of a security key has a counter in it.
func chooseSSHKey(ctx context.Context, n NewSlot) (ed25519.PublicKey, error) {
	keys, others, err := sshKeys(ctx, n.Path)
	if err != nil {
		return nil, err
	}
	var fit []sshKey
	for _, k := range keys {
		if n.Name == "" || n.Name == fingerprint(k.public) || n.Name == k.comment {
			fit = append(fit, k)
		}
	}
	switch {
	case len(fit) == 1:
		return fit[0].public, nil
	case len(fit) > 1:
		return nil, fmt.Errorf("the ssh-agent has several keys, name one of %s: %w", fingerprints(fit), ErrUnfit)
	case len(others) > 0 && len(keys) == 0:
		return nil, fmt.Errorf("the ssh-agent has no Ed25519 key; it has %s, whose signatures differ each time or cannot be "+
			"relied on: %w", strings.Join(others, ", "), ErrUnfit)
	case n.Name != "":
		return nil, fmt.Errorf("the ssh-agent has no Ed25519 key %q: %w", n.Name, ErrUnfit)
	}
	return nil, fmt.Errorf("the ssh-agent has no Ed25519 key: %w", ErrUnfit)
}

func fingerprints(keys []sshKey) string {
	var list []string
	for _, k := range keys {
		list = append(list, fingerprint(k.public))
	}
	return strings.Join(list, ", ")
}

// fingerprint is what ssh-add -l shows.
func fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(keyBlob(key))
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// makeSignature is signature for a new slot.
func makeSignature(ctx context.Context, socket string, s Slot) (secret.Text, error) {
	return sameTwice(func() (secret.Text, error) { return signature(ctx, socket, s) })
}

// sameTwice asks for a signature twice: a signer that gives another one each time, which is a good signature too, would
// lock the keystore for ever.
func sameTwice(sign func() (secret.Text, error)) (secret.Text, error) {
	first, err := sign()
	if err != nil {
		return secret.Text{}, err
	}
	again, err := sign()
	defer again.Wipe()
	if err == nil && !first.Equal(again) {
		err = fmt.Errorf("the ssh-agent signs differently each time: %w", ErrUnfit)
	}
	if err != nil {
		first.Wipe()
		return secret.Text{}, err
	}
	return first, nil
}

// signature has the slot's challenge signed. One that is not right is an error of the ssh-agent, not a wrong key.
func signature(ctx context.Context, socket string, s Slot) (secret.Text, error) {
	data := signedData(s.challenge)
	body := []byte{sshRequestSign}
	body = appendSSH(appendSSH(body, keyBlob(s.public[:])), data)
	body = binary.BigEndian.AppendUint32(body, 0) // no flags
	answer, err := askSSHAgent(ctx, socket, body, sshAnswerSign)
	if err != nil {
		return secret.Text{}, fmt.Errorf("ask the ssh-agent for a signature of %s: %w", fingerprint(s.public[:]), err)
	}
	defer clear(answer)
	r := &sshReader{b: answer}
	inner := &sshReader{b: r.text()}
	kind, sig := inner.text(), inner.text()
	if r.done() != nil || inner.done() != nil || string(kind) != sshKeyType || !ed25519.Verify(s.public[:], data, sig) {
		return secret.Text{}, fmt.Errorf("ask the ssh-agent for a signature of %s: %w", fingerprint(s.public[:]), errSSHAgent)
	}
	return secret.New(bytes.Clone(sig)), nil
}

// errSSHAgent: what the ssh-agent said makes no sense.
var errSSHAgent = errors.New("the answer is not a good one")

// errSSHRefused: the ssh-agent does not have the key, is locked, or its person said no.
var errSSHRefused = errors.New("the ssh-agent refused")

// signedData is what the key signs, in the form that ssh-keygen -Y has: no login of ssh signs the like.
func signedData(challenge [challengeSize]byte) []byte {
	sum := sha512.Sum512(challenge[:])
	b := []byte("SSHSIG")
	for _, field := range [][]byte{[]byte(sshNamespace), nil, []byte("sha512"), sum[:]} {
		b = appendSSH(b, field)
	}
	return b
}

func keyBlob(key ed25519.PublicKey) []byte { return appendSSH(appendSSH(nil, []byte(sshKeyType)), key) }

func newChallenge() (c [challengeSize]byte) {
	_, _ = rand.Read(c[:]) // never fails
	return c
}

// sshKey is a key that an ssh-agent can sign with.
type sshKey struct {
	public  ed25519.PublicKey
	comment string
}

// sshKeys lists the Ed25519 keys, and the types of the others.
func sshKeys(ctx context.Context, socket string) (keys []sshKey, others []string, err error) {
	answer, err := askSSHAgent(ctx, socket, []byte{sshRequestKeys}, sshAnswerKeys)
	if err != nil {
		return nil, nil, fmt.Errorf("ask the ssh-agent for its keys: %w", err)
	}
	r := &sshReader{b: answer}
	n := r.number()
	if n > maxSSHKeys {
		return nil, nil, fmt.Errorf("ask the ssh-agent for its keys: %w", errSSHAgent)
	}
	for range n {
		blob, comment := &sshReader{b: r.text()}, r.text()
		kind := string(blob.text())
		if kind != sshKeyType {
			others = append(others, fmt.Sprintf("%.40q", kind))
			continue
		}
		if key := blob.text(); blob.done() == nil && len(key) == ed25519.PublicKeySize {
			keys = append(keys, sshKey{public: ed25519.PublicKey(key), comment: string(comment)})
		}
	}
	if r.done() != nil {
		return nil, nil, fmt.Errorf("ask the ssh-agent for its keys: %w", errSSHAgent)
	}
	return keys, others, nil
}

// askSSHAgent sends one message and returns the body of the answer, without its type.
func askSSHAgent(ctx context.Context, socket string, body []byte, want byte) ([]byte, error) {
	if socket == "" {
		return nil, fmt.Errorf("%s is not set: %w", EnvSSHAgent, ErrUnfit)
	}
	ctx, cancel := context.WithTimeout(ctx, sshLimit)
	defer cancel()
	conn, err := sock.Dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // the answer is there, or the error is
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(appendSSH(nil, body)); err != nil {
		return nil, orEnded(ctx, err)
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, orEnded(ctx, err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 1 || n > maxSSHMessage {
		return nil, errSSHAgent
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return nil, orEnded(ctx, err)
	}
	if answer[0] != want {
		return nil, errSSHRefused
	}
	return answer[1:], nil
}

func orEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func appendSSH(b, field []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
}

// sshReader takes fields of the SSH wire format off a message. After the first that is not there it gives nothing.
type sshReader struct {
	b      []byte
	failed bool
}

func (r *sshReader) number() uint32 {
	if r.failed || len(r.b) < 4 {
		r.failed = true
		return 0
	}
	n := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return n
}

func (r *sshReader) text() []byte {
	n := r.number()
	if r.failed || uint64(n) > uint64(len(r.b)) {
		r.failed = true
		return nil
	}
	field := r.b[:n]
	r.b = r.b[n:]
	return field
}

// done reports whether everything was there and nothing else.
func (r *sshReader) done() error {
	if r.failed || len(r.b) > 0 {
		return errSSHAgent
	}
	return nil
}
