package httpapi

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
)

// maxHops is how many addresses of a forwarding header are looked at.
const maxHops = 32

// maxUserAgent is what is kept of one.
const maxUserAgent = 300

// origins finds out where requests come from.
type origins struct {
	proxies []netip.Prefix
	unix    bool // whoever reaches a Unix socket of ours is a proxy
}

// of returns where a request comes from: the peer, or what proxies we trust say who they had it from. trusted reports
// whether the peer is such a proxy.
func (o origins) of(r *http.Request) (from ledger.Origin, trusted bool) {
	from.UserAgent = cutText(r.UserAgent(), maxUserAgent)
	peer, ok := peerOf(r.RemoteAddr)
	if ok {
		from.Client = peer
		trusted = o.trusts(peer)
	} else {
		trusted = o.unix
	}
	if !trusted {
		return from, false
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	slices.Reverse(hops)
	for _, hop := range hops[:min(len(hops), maxHops)] {
		a, ok := peerOf(strings.TrimSpace(hop))
		if !ok {
			break // what stands further left was said by nobody we know
		}
		from.Client = a
		if !o.trusts(a) {
			break
		}
	}
	return from, true
}

func (o origins) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(o.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// peerOf reads an address with or without a port.
func peerOf(s string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}, false
	}
	return a.Unmap().WithZone(""), true
}

// about is what is known of a request before it is read.
type about struct {
	origin ledger.Origin
	id     string
	path   string // as it was asked for
}

type aboutKey struct{}

func aboutOf(ctx context.Context) about {
	a, _ := ctx.Value(aboutKey{}).(about)
	return a
}

// OriginOf returns where the request of a context comes from, trusted proxies taken into account. It is for what is
// mounted beside the API, too.
func OriginOf(ctx context.Context) ledger.Origin { return aboutOf(ctx).origin }

// RequestID returns the id of the request of a context, as it stands in the answer and in the log.
func RequestID(ctx context.Context) string { return aboutOf(ctx).id }

const headerID = "X-Request-Id"

// tell puts what is known of a request into its context. The id of a proxy that is trusted is kept.
func (o origins) tell(r *http.Request) (*http.Request, string) {
	from, trusted := o.of(r)
	id := r.Header.Get(headerID)
	if !trusted || !plainID(id) {
		id = rand.Text()
	}
	return r.WithContext(context.WithValue(r.Context(), aboutKey{}, about{from, id, r.URL.EscapedPath()})), id
}

func plainID(s string) bool {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, bad)
}

func cutText(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
