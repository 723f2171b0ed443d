package login

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Bounds of one run of gpg.
const (
	// gpgAsking is for a person who has to find a smart card and type its PIN; gpgQuiet for what asks nobody.
	gpgAsking = 2 * time.Minute
	gpgQuiet  = 15 * time.Second
	// gpgLeave is for programs that gpg has left behind with its pipes open.
	gpgLeave = 2 * time.Second
	maxWords = 4 << 10 // of what it says on standard error
)

// GPG runs the gpg program: texts pass through its pipes and never through an argument, there is no shell, and each run
// has a limit. Passphrases are a matter between the person and gpg's own agent.
type GPG struct {
	Path    string   // absolute
	Environ []string // HOME, GNUPGHOME and what a pinentry needs; see FindGPG
	// Quiet makes it fail with ErrPGP where gpg's agent would have to ask for a passphrase.
	Quiet bool
}

// FindGPG looks for gpg in $PATH and takes what it needs from the environment. The error wraps ErrPGP
// and exec.ErrNotFound.
func FindGPG(getenv func(string) string) (GPG, error) {
	for _, name := range []string{"gpg", "gpg2"} {
		for _, dir := range filepath.SplitList(getenv("PATH")) {
			path := filepath.Join(dir, name)
			fi, err := os.Stat(path)
			if filepath.IsAbs(dir) && err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o111 != 0 {
				return GPG{Path: path, Environ: gpgEnviron(getenv)}, nil
			}
		}
	}
	return GPG{}, fmt.Errorf("%w, and gpg is not installed: %w", ErrPGP, exec.ErrNotFound)
}

func gpgEnviron(getenv func(string) string) []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{
		"HOME", "PATH", "USER", "LOGNAME", "GNUPGHOME", "GPG_TTY", "TERM", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY",
		"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "PINENTRY_USER_DATA",
	} {
		if v := getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// Decrypt opens an OpenPGP message (RFC 9580). The error wraps ErrPGP and says what gpg said. The caller wipes the
// result.
func (g GPG) Decrypt(ctx context.Context, armoured []byte) (secret.Text, error) {
	args := []string{"--decrypt"}
	limit := gpgAsking
	if g.Quiet {
		args, limit = []string{"--pinentry-mode", "error", "--decrypt"}, gpgQuiet
	}
	out, err := g.run(ctx, limit, armoured, args...)
	if err != nil {
		return secret.Text{}, fmt.Errorf("%w: decrypt: %w", ErrPGP, err)
	}
	return secret.New(out), nil
}

// Encrypt returns plain as an armoured message for one key: an id, a fingerprint, or what else gpg takes for a
// recipient.
func (g GPG) Encrypt(ctx context.Context, plain secret.Text, key string) ([]byte, error) {
	if key == "" || strings.HasPrefix(key, "-") {
		return nil, fmt.Errorf("%w: encrypt: %q is no key", ErrPGP, key)
	}
	return g.encrypt(ctx, plain, "--recipient", key)
}

// EncryptAgain is Encrypt for the keys that an earlier message was encrypted for. The person has trusted them with the
// same text before, so gpg is not asked for its opinion of them.
func (g GPG) EncryptAgain(ctx context.Context, plain secret.Text, armoured []byte) ([]byte, error) {
	keys, err := Recipients(armoured)
	if err != nil {
		return nil, err
	}
	args := []string{"--trust-model", "always"}
	for _, k := range keys {
		args = append(args, "--recipient", k)
	}
	return g.encrypt(ctx, plain, args...)
}

func (g GPG) encrypt(ctx context.Context, plain secret.Text, args ...string) ([]byte, error) {
	args = append(args, "--armor", "--encrypt")
	var out []byte
	err := plain.Use(func(b []byte) (err error) {
		out, err = g.run(ctx, gpgQuiet, b, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: encrypt: %w", ErrPGP, err)
	}
	return out, nil
}

// run gives gpg a text and returns what it prints.
func (g GPG) run(ctx context.Context, limit time.Duration, in []byte, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, words := &limited{most: MaxFile}, &limited{most: maxWords, drop: true}
	cmd := exec.CommandContext(ctx, g.Path, append([]string{"--batch", "--yes", "--quiet", "--no-tty"}, args...)...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = g.Environ, bytes.NewReader(in), out, words
	cmd.WaitDelay = gpgLeave
	err := cmd.Run()
	if err == nil {
		return out.b, nil
	}
	clear(out.b)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if said := strings.TrimSpace(string(words.b)); said != "" {
		return nil, fmt.Errorf("%w: %s", err, strings.Join(strings.Fields(said), " "))
	}
	return nil, err
}

// limited takes a bounded number of bytes into one buffer; what does not fit is an error, or dropped.
type limited struct {
	b    []byte
	most int
	drop bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.b == nil {
		l.b = make([]byte, 0, l.most) // it never moves, so that clearing it clears every copy
	}
	room := l.most - len(l.b)
	if len(p) > room && !l.drop {
		return 0, ErrTooLarge
	}
	l.b = append(l.b, p[:min(len(p), room)]...)
	return len(p), nil
}

// PGPFile is an account file around an armoured message.
func PGPFile(armoured []byte) []byte {
	return append(append(bytes.TrimRight(armoured, "\r\n"), '\n'), generated+fileVersion...)
}

// Recipients lists the key ids an armoured message is encrypted for, as gpg takes them. The error wraps ErrFormat, also
// for a message that does not say.
func Recipients(armoured []byte) ([]string, error) {
	packets, err := dearmour(armoured)
	if err != nil {
		return nil, err
	}
	var keys []string
	for len(packets) > 0 {
		tag, body, rest, ok := nextPacket(packets)
		if !ok || tag != sessionKeyPacket {
			break
		}
		// Version 3: the id of a key, zero where it is hidden (RFC 9580, 5.1.1).
		if len(body) < 9 || body[0] != 3 || binary.BigEndian.Uint64(body[1:9]) == 0 {
			return nil, fmt.Errorf("%w: the OpenPGP message does not say which key it is for", ErrFormat)
		}
		keys = append(keys, fmt.Sprintf("%016X", body[1:9]))
		packets = rest
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: the OpenPGP message is for no key", ErrFormat)
	}
	return keys, nil
}

// sessionKeyPacket is a public-key encrypted session key: one for each recipient, before the data.
const sessionKeyPacket = 1

// dearmour takes the base64 out of an armoured message; its checksum is gpg's business.
func dearmour(armoured []byte) ([]byte, error) {
	text := strings.ReplaceAll(string(armoured), "\r\n", "\n")
	_, text, begun := strings.Cut(text, pgpBegin+"\n")
	text, _, ended := strings.Cut(text, pgpEnd)
	if !begun || !ended {
		return nil, fmt.Errorf("%w: no armoured OpenPGP message", ErrFormat)
	}
	if _, body, headed := strings.Cut("\n"+text, "\n\n"); headed {
		text = body
	}
	text, _, _ = strings.Cut(text, "\n=")
	b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(text, "\n", ""))
	if err != nil {
		return nil, fmt.Errorf("%w: the OpenPGP message is no base64", ErrFormat)
	}
	return b, nil
}

// nextPacket takes one packet off b (RFC 9580, 4.2). Lengths that are not told at the beginning are for data packets,
// which come later.
func nextPacket(b []byte) (tag byte, body, rest []byte, ok bool) {
	if len(b) < 2 || b[0]&0x80 == 0 {
		return 0, nil, nil, false
	}
	var n, head uint64
	if b[0]&0x40 != 0 {
		tag = b[0] & 0x3f
		n, head, ok = newLength(b)
	} else {
		tag = b[0] >> 2 & 0xf
		n, head, ok = oldLength(b)
	}
	if !ok || n > uint64(len(b))-head {
		return 0, nil, nil, false
	}
	return tag, b[head : head+n], b[head+n:], true
}

func newLength(b []byte) (n, head uint64, ok bool) {
	switch first := b[1]; {
	case first < 192:
		return uint64(first), 2, true
	case first < 224 && len(b) > 2:
		return uint64(first-192)<<8 + uint64(b[2]) + 192, 3, true
	case first == 255 && len(b) > 5:
		return uint64(binary.BigEndian.Uint32(b[2:6])), 6, true
	}
	return 0, 0, false
}

func oldLength(b []byte) (n, head uint64, ok bool) {
	switch kind := b[0] & 3; {
	case kind == 0:
		return uint64(b[1]), 2, true
	case kind == 1 && len(b) > 2:
		return uint64(binary.BigEndian.Uint16(b[1:3])), 3, true
	case kind == 2 && len(b) > 4:
		return uint64(binary.BigEndian.Uint32(b[1:5])), 5, true
	}
	return 0, 0, false
}
