package sshapi

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/limit"
)

const (
	// minUser and maxUser bound user names: those of the desk have 24 letters, and what is shorter is never looked up.
	minUser = 24
	maxUser = 64
	// maxTries is how many keys one connection may offer; an ssh-agent has a few.
	maxTries = 6
	// maxAgent bounds what is kept of a client's version.
	maxAgent = 200
	// keyFingerprint names the fingerprint in ssh.Permissions.
	keyFingerprint = "fingerprint"
)

// errRefused is the answer to whatever is wrong about a user name and a key: which of them it is, is not told.
var errRefused = errors.New("user name and key do not belong together")

// serve is one connection.
func (s *Server) serve(ctx context.Context, raw net.Conn) {
	defer raw.Close() //nolint:errcheck // nothing can be lost by it
	start := s.o.Now()
	_ = raw.SetDeadline(time.Now().Add(s.o.Limits.Handshake))
	// Until there is a command nothing is lost when the server ends.
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, client, err := s.fromProxy(raw)
	if err == nil {
		var leave func()
		if leave, err = s.enter(client); err == nil {
			defer leave()
		}
	}
	if err != nil {
		s.o.Seen(ctx, "connect", outcomeOf(err), s.o.Now().Sub(start))
		s.o.Log.DebugContext(ctx, "ssh connection refused", "client", client, "err", err)
		return
	}
	l := &link{s: s, client: client, raw: raw}
	defer l.work.Wait()
	sc, channels, requests, err := ssh.NewServerConn(conn, l.config(ctx))
	if err != nil {
		s.o.Seen(ctx, "connect", "access_denied", s.o.Now().Sub(start))
		s.o.Log.DebugContext(ctx, "ssh handshake failed", "client", client, "err", err)
		return
	}
	defer sc.Close() //nolint:errcheck // as above
	l.conn, l.fingerprint = sc, sc.Permissions.Extensions[keyFingerprint]
	l.user = secret.FromString(sc.User())
	defer l.user.Wipe()
	l.agent = agentOf(sc.ClientVersion())
	l.work.Go(func() { ssh.DiscardRequests(requests) }) // forwarding is refused by it
	_ = raw.SetDeadline(time.Now().Add(s.o.Limits.Total))
	l.talk(ctx, channels, stop)
	l.work.Go(func() { // the library waits for somebody to take them
		for asked := range channels {
			_ = asked.Reject(ssh.ResourceShortage, "the connection is over")
		}
	})
}

func outcomeOf(err error) string {
	if errors.Is(err, errFull) {
		return desk.CodeTooMany
	}
	return desk.CodeRequest
}

// fromProxy finds the client behind a proxy of ours.
func (s *Server) fromProxy(raw net.Conn) (net.Conn, netip.Addr, error) {
	peer := addrOf(raw.RemoteAddr())
	for _, p := range s.o.Proxies {
		if peer.IsValid() && p.Contains(peer) {
			return readProxy(raw, peer)
		}
	}
	return raw, peer, nil
}

// addrOf is the address of a peer; that of a Unix socket is this machine.
func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.IPv6Loopback()
}

// link is a connection whose client is known.
type link struct {
	s           *Server
	raw         net.Conn
	work        sync.WaitGroup // ends with the connection
	client      netip.Addr
	conn        *ssh.ServerConn
	user        secret.Text
	fingerprint string
	agent       string
}

// config is that of one connection: keys are looked up in the name of its client.
func (l *link) config(ctx context.Context) *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-oidcbox",
		MaxAuthTries:  maxTries,
		PublicKeyAuthAlgorithms: []string{
			ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
			ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
			ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512,
		},
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			return l.admit(ctx, meta.User(), key)
		},
	}
	algorithms := ssh.SupportedAlgorithms() // without the insecure ones
	c.KeyExchanges, c.Ciphers, c.MACs = algorithms.KeyExchanges, algorithms.Ciphers, algorithms.MACs
	for _, k := range l.s.o.HostKeys {
		c.AddHostKey(k)
	}
	return c
}

// admit says whether a key may come in under a user name. A certificate is no key: nobody here trusts its maker. All
// that is wrong gets one answer, after the same look-up.
func (l *link) admit(ctx context.Context, user string, key ssh.PublicKey) (*ssh.Permissions, error) {
	ctx, cancel := context.WithTimeout(ctx, l.s.o.Limits.Handshake)
	defer cancel()
	name := secret.FromString(user)
	defer name.Wipe()
	fingerprint := ssh.FingerprintSHA256(key)
	if _, certificate := key.(*ssh.Certificate); certificate || name.Len() < minUser || name.Len() > maxUser {
		return nil, l.refuse()
	}
	known, err := l.s.o.Keys.SSHKnown(ctx, name, fingerprint)
	if err != nil {
		l.s.o.Log.ErrorContext(ctx, "an ssh user name could not be looked up", "err", err)
		return nil, errRefused
	}
	if !known {
		return nil, l.refuse()
	}
	return &ssh.Permissions{Extensions: map[string]string{keyFingerprint: fingerprint}}, nil
}

// refuse counts. Who was refused too often is cut off at the first wrong key, for a while.
func (l *link) refuse() error {
	if _, ok := l.s.refused.Take(limit.Address(l.client)); !ok {
		_ = l.raw.Close()
	}
	return errRefused
}

// talk waits for the one session and its one command; begun is called when that is there.
func (l *link) talk(ctx context.Context, channels <-chan ssh.NewChannel, begun func() bool) {
	idle := time.AfterFunc(l.s.o.Limits.Idle, func() { _ = l.conn.Close() })
	defer idle.Stop()
	done := make(chan struct{})
	taken := false
	for {
		select {
		case <-done:
			return
		case asked, open := <-channels:
			switch {
			case !open:
				if taken {
					<-done
				}
				return
			case asked.ChannelType() != "session":
				_ = asked.Reject(ssh.UnknownChannelType, "there are sessions only")
			case taken:
				_ = asked.Reject(ssh.ResourceShortage, "one session for each connection")
			default:
				channel, requests, err := asked.Accept()
				if err != nil {
					return
				}
				taken = true
				l.work.Go(func() {
					defer close(done)
					l.session(ctx, channel, requests, func() { idle.Stop(); begun() })
				})
			}
		}
	}
}

// agentOf is the version of a client, fit for histories and logs.
func agentOf(version []byte) string {
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, string(version))
	if len(text) > maxAgent {
		text = strings.ToValidUTF8(text[:maxAgent], "")
	}
	return text
}
