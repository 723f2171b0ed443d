package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

const (
	pathLogin = "/relay/v1/login"

	maxQuestion = 192 << 10 // what login writes at most, and some more
	maxNode     = 64        // bytes of a node's name in the audit

	headerClient = "X-Forwarded-For"
)

// Identity is how the server is known and whom it knows. All is needed.
type Identity struct {
	Certificate func() (*tls.Certificate, error) // of the server; asked at each connection
	Nodes       *x509.CertPool                   // who signs certificates of nodes
	Names       []string                         // of the nodes, as their certificates have them (DNS)
}

// TLS is for the server's listener: only nodes get through the handshake. The error is ErrOptions.
func (i Identity) TLS() (*tls.Config, error) {
	if i.Certificate == nil || i.Nodes == nil || len(i.Names) == 0 {
		return nil, fmt.Errorf("%w: certificate, CA of the nodes or names of the nodes are missing", ErrOptions)
	}
	names := make([]string, 0, len(i.Names))
	for _, n := range i.Names {
		names = append(names, strings.ToLower(n))
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		ClientAuth:     tls.RequireAndVerifyClientCert,
		ClientCAs:      i.Nodes,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.Certificate() },
		VerifyConnection: func(s tls.ConnectionState) error { // also for sessions that are resumed
			if node(s, names) == "" {
				return ErrNode
			}
			return nil
		},
	}, nil
}

// node is the name by which the other side is known, "" when it is not.
func node(s tls.ConnectionState, names []string) string {
	if len(s.VerifiedChains) == 0 || len(s.PeerCertificates) == 0 {
		return ""
	}
	for _, n := range s.PeerCertificates[0].DNSNames {
		if n = strings.ToLower(n); slices.Contains(names, n) {
			return n
		}
	}
	return ""
}

// Server is the central side.
type Server struct {
	Names []string // as in Identity
	// Login decides, as for a question over the socket.
	Login func(context.Context, login.Question) login.Answer
	// API answers what users ask of a node. nil: nodes pass logins on and nothing else.
	API http.Handler
	Log *slog.Logger // nil: nothing is logged
}

// Handler serves nodes, over TLS that Identity has set up and nothing else.
func (s Server) Handler() http.Handler {
	names := make([]string, 0, len(s.Names))
	for _, n := range s.Names {
		names = append(names, strings.ToLower(n))
	}
	return httpd.Handle(s.Log, func(w http.ResponseWriter, r *http.Request) error {
		from := ""
		if r.TLS != nil {
			from = node(*r.TLS, names)
		}
		switch {
		case from == "":
			return &httpd.Error{Status: http.StatusForbidden, Err: ErrNode}
		case r.URL.Path == pathLogin && r.Method == http.MethodPost:
			return s.login(w, r, from)
		case s.API == nil || strings.HasPrefix(r.URL.Path, "/relay/"):
			return &httpd.Error{Status: http.StatusNotFound}
		}
		s.API.ServeHTTP(w, forwarded(r))
		return nil
	})
}

func (s Server) login(w http.ResponseWriter, r *http.Request, from string) error {
	b, err := httpd.ReadBody(w, r, maxQuestion)
	if err != nil {
		return err
	}
	defer clear(b)
	q, err := login.ReadQuestion(bytes.NewReader(b))
	if err != nil {
		return &httpd.Error{Status: http.StatusBadRequest, Code: "invalid_request", Err: err}
	}
	defer q.Secret.Wipe()
	q.Via += "@" + from[:min(len(from), maxNode)]
	var out bytes.Buffer
	if err := login.WriteAnswer(&out, s.Login(r.Context(), q)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out.Bytes())
	return nil
}

// forwarded is what a node passes on as if its user had come here: the node says where from.
func forwarded(r *http.Request) *http.Request {
	out := r.Clone(r.Context())
	out.RemoteAddr = ""
	if values := r.Header.Values(headerClient); len(values) == 1 {
		if a, err := netip.ParseAddr(values[0]); err == nil {
			out.RemoteAddr = net.JoinHostPort(a.Unmap().WithZone("").String(), "0")
		}
	}
	if out.RemoteAddr == "" { // the node itself
		out.RemoteAddr = r.RemoteAddr
	}
	out.Header.Del(headerClient)
	out.TLS = nil // the certificate is the node's, not the user's
	return out
}
