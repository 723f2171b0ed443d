package sshlogin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const (
	maxAsked = 64 << 10
	maxReply = 256 << 10
	// askTime bounds one question: the answer to it may need a request to the account service.
	askTime = 90 * time.Second
)

// Asked is what a helper of ssh asks the wrapper that started ssh.
type Asked struct {
	Question
	SSH  int    // the process of ssh that asks
	Host string // for host keys: the name that known_hosts would have; no question then
}

// Reply is what it is told. The zero value says that the question is not for the wrapper.
type Reply struct {
	Secret secret.Text
	Quiet  bool     // and nobody is to be asked either
	Keys   []string // lines "type base64"
}

type wireAsked struct {
	Prompt string `json:"prompt,omitempty"`
	Kind   string `json:"kind,omitempty"`
	SSH    int    `json:"ssh,omitempty"`
	Host   string `json:"host,omitempty"`
}

type wireReply struct {
	Secret string   `json:"secret,omitempty"`
	Quiet  bool     `json:"quiet,omitempty"`
	Keys   []string `json:"keys,omitempty"`
}

// Ask asks the wrapper at a socket. The caller wipes the secret.
func Ask(ctx context.Context, path string, a Asked) (Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c, err := sock.Dial(ctx, path)
	if err != nil {
		return Reply{}, err
	}
	defer c.Close()
	if at, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(at)
	}
	b, err := json.Marshal(wireAsked{Prompt: a.Prompt, Kind: a.Kind, SSH: a.SSH, Host: a.Host})
	if err != nil {
		return Reply{}, err
	}
	if _, err := c.Write(append(b, '\n')); err != nil {
		return Reply{}, fmt.Errorf("ask the wrapper: %w", err)
	}
	line, err := readLine(c, maxReply)
	defer clear(line)
	var r wireReply
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		return Reply{}, fmt.Errorf("read the wrapper's answer: %w", err)
	}
	out := Reply{Quiet: r.Quiet, Keys: r.Keys}
	if r.Secret != "" {
		out.Secret = secret.FromString(r.Secret)
	}
	return out, nil
}

func readLine(r io.Reader, limit int64) ([]byte, error) {
	line, err := bufio.NewReader(io.LimitReader(r, limit)).ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return line, err
}

// ServeAsked answers helpers until ctx ends, which is no error, and then waits for those that are being answered. It
// closes ln. Only processes that run as we do are answered.
func ServeAsked(ctx context.Context, ln net.Listener, answer func(context.Context, Asked) Reply) error {
	var open sync.WaitGroup
	defer open.Wait()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	for {
		c, err := ln.Accept()
		if err != nil {
			_ = ln.Close()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("wait for questions of ssh: %w", err)
		}
		open.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
			if _, err := sock.Admit(c, nil); err == nil {
				answerOne(ctx, c, answer)
			}
		})
	}
}

func answerOne(ctx context.Context, c net.Conn, answer func(context.Context, Asked) Reply) {
	_ = c.SetDeadline(time.Now().Add(askTime))
	line, err := readLine(c, maxAsked)
	var w wireAsked
	if err != nil || json.Unmarshal(line, &w) != nil {
		return
	}
	r := answer(ctx, Asked{Question: Question{Prompt: w.Prompt, Kind: w.Kind}, SSH: w.SSH, Host: strings.ToLower(w.Host)})
	defer r.Secret.Wipe()
	b, err := json.Marshal(wireReply{Secret: r.Secret.Expose(), Quiet: r.Quiet, Keys: r.Keys})
	defer clear(b)
	if err == nil {
		_, _ = c.Write(append(b, '\n')) // a helper that has gone asks again or fails
	}
}
