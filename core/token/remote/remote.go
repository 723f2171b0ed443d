package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Defaults and bounds.
const (
	// DefaultCache is how long an answer is used, unless the token expires sooner: this late a revocation is noticed.
	DefaultCache = time.Minute
	// UserinfoCache is that for opaque tokens of which only the userinfo endpoint says something: nobody knows when they
	// expire.
	UserinfoCache = 10 * time.Second
	// MaxCache bounds what can be configured.
	MaxCache = time.Hour
	// DefaultRate is how many requests a second an issuer gets, twice: for tokens that are known (signed, or found active
	// before) and for those of strangers.
	DefaultRate = 20.0
	// MaxRate bounds what can be configured.
	MaxRate = 10000.0
	// DefaultTimeout bounds everything that is asked about one token: discovery, introspection and userinfo together.
	DefaultTimeout = 5 * time.Second
	// DefaultMemory bounds what is kept of answers, in bytes.
	DefaultMemory = 32 << 20
	// MaxAnswer bounds one answer in bytes.
	MaxAnswer = 64 << 10
	// MaxToken bounds an opaque token in bytes.
	MaxToken = 8 << 10
)

// Issuer is one that may be asked, and about what. With neither Introspection nor Userinfo it is never asked.
type Issuer struct {
	URL string // as configured; compared byte for byte

	Introspection bool // ask whether the token is active; needs ClientID and ClientSecret
	Userinfo      bool // ask for the claims of the person
	ClientID      string
	ClientSecret  secret.Text

	// Opaque takes opaque tokens of this issuer also when neither a hint nor a prefix names it: such tokens are shown to
	// all issuers that have this.
	Opaque bool
	// Prefixes of opaque tokens that are of this issuer; they are shown to it alone. The longest that fits counts.
	Prefixes []string

	Cache time.Duration // 0: DefaultCache, or UserinfoCache
	Rate  float64       // requests a second, in each of the two budgets; 0: DefaultRate
}

// Options of a Source. HTTP has to be set.
type Options struct {
	HTTP    *httpc.Client
	Timeout time.Duration // 0: DefaultTimeout
	Memory  int           // bytes for answers; 0: DefaultMemory
	// Constrained makes Opaque return tokens that are bound to a key (cnf in the answer). Only a caller that checks the
	// proof of possession may set it; otherwise they are refused with claims.ErrSenderConstrained.
	Constrained bool
	Now         func() time.Time
	Log         *slog.Logger
}

// Said is what an issuer said about one token. An object is empty when it was not asked for.
type Said struct {
	Introspection, Userinfo jose.Object
	// Claims are those of the introspection answer with types, Issuer filled in; of an issuer that was asked for userinfo
	// alone only Issuer and Subject. They are as good as the issuer and the connection to it: where a signed token is at
	// hand, that wins.
	Claims claims.Token
	// Expires is until when this may be used without asking again. It is never after the token's own end.
	Expires time.Time

	named bool // introspection says that it is an access token
}

// Source asks issuers, for use by many goroutines. Close it to wait for what runs in the background.
type Source struct {
	o       Options
	issuers map[string]*party
	list    []*party // in the order of the configuration

	done chan struct{} // closed by Close
	wg   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	flights map[key]*flight
	yes     answers
	no      refusals
}

// New returns a source, or all that is wrong with the configuration (ErrConfig). It sends nothing.
func New(issuers []Issuer, o Options) (*Source, error) {
	s := &Source{o: o.filled(), issuers: map[string]*party{}, done: make(chan struct{}), flights: map[key]*flight{}}
	s.yes, s.no = newAnswers(s.o.Memory), newRefusals()
	var faults []error
	if o.HTTP == nil {
		faults = append(faults, errors.New("there is no HTTP client"))
	}
	for _, i := range issuers {
		if s.issuers[i.URL] != nil {
			faults = append(faults, fmt.Errorf("issuer %s is there twice", i.URL))
			continue
		}
		faults = append(faults, i.faults()...)
		p := newParty(i, s.o)
		s.issuers[i.URL], s.list = p, append(s.list, p)
	}
	faults = append(faults, sharedPrefixes(issuers)...)
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrConfig, errors.Join(faults...))
	}
	return s, nil
}

func (o Options) filled() Options {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func (i Issuer) faults() (list []error) {
	fault := func(format string, args ...any) {
		list = append(list, fmt.Errorf("issuer %s: "+format, append([]any{i.URL}, args...)...))
	}
	if err := provider.CheckIssuer(i.URL); err != nil {
		fault("%w", err)
	}
	if i.Introspection && (i.ClientID == "" || i.ClientSecret.Empty()) {
		fault("introspection needs a client and its secret")
	}
	if !i.asked() && (i.Opaque || len(i.Prefixes) > 0) {
		fault("opaque tokens can only be checked by introspection or userinfo")
	}
	if i.Cache < 0 || i.Cache > MaxCache {
		fault("answers can be kept between 0 and %v", MaxCache)
	}
	if !(i.Rate >= 0 && i.Rate <= MaxRate) {
		fault("the rate is not between 0 and %v requests a second", MaxRate)
	}
	if slices.Contains(i.Prefixes, "") {
		fault("a prefix is empty")
	}
	return list
}

func sharedPrefixes(issuers []Issuer) (list []error) {
	owner := map[string]string{}
	for _, i := range issuers {
		for _, p := range i.Prefixes {
			if other, there := owner[p]; there && other != i.URL {
				list = append(list, fmt.Errorf("prefix %q is that of %s and of %s", p, other, i.URL))
			}
			owner[p] = i.URL
		}
	}
	return list
}

func (i Issuer) asked() bool { return i.Introspection || i.Userinfo }

// Close ends running requests and waits for them. What is asked afterwards is answered from memory or not at all.
func (s *Source) Close() {
	s.mu.Lock() // so that no flight starts after Wait began
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Ask returns what issuer says of a token that it has signed: signed are its claims, after their signature was checked.
// An issuer that is not to be asked says nothing: the zero Said and no error. With a nil signed the token is asked
// about as one of strangers.
//
// The error is ErrInactive, ErrContradiction or ErrKind when the token is to be refused, an *UnavailableError when
// nothing could be learned, ErrUntrusted for an issuer that is not configured, or that of ctx.
func (s *Source) Ask(ctx context.Context, issuer string, token []byte, signed *claims.Token) (Said, error) {
	p := s.issuers[issuer]
	switch {
	case p == nil:
		return Said{}, ErrUntrusted
	case !p.asked():
		return Said{}, nil
	}
	said, err := s.answer(ctx, p, token, signed != nil)
	if err != nil {
		return Said{}, err
	}
	if err := said.against(signed); err != nil {
		return Said{}, err
	}
	return said, nil
}
