package proto

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// The values of Request.Type.
const (
	TypeCheck            = "check"
	TypeAccessToken      = "access_token"
	TypeIDToken          = "id_token"
	TypeMytoken          = "mytoken"
	TypeLoadedAccounts   = "loaded_accounts"
	TypeAccountInfo      = "account_info"
	TypeAdd              = "add"
	TypeRemove           = "remove"
	TypeRemoveAll        = "remove_all"
	TypeLock             = "lock"
	TypeUnlock           = "unlock"
	TypeStatus           = "status"
	TypeStatusJSON       = "status_json"
	TypeGen              = "gen"
	TypeReauthenticate   = "reauthenticate"
	TypeCodeExchange     = "code_exchange"
	TypeStateLookup      = "state_lookup"
	TypeDevice           = "device"
	TypeRegister         = "register"
	TypeDelete           = "delete"
	TypeDeleteClient     = "delete_client"
	TypeScopes           = "scopes"
	TypeMytokenProviders = "mytoken_supported_providers"
	TypeTermHTTPServer   = "term_http_server"
	TypeFileWrite        = "file_write"
	TypeFileRead         = "file_read"
	TypeFileRemove       = "file_remove"
)

// ForceNew as Request.MinValid asks for a token that no cache has seen.
const ForceNew = -1

// Request is one request. A member that was absent or empty is the zero value. Serve wipes the secrets of a request
// when its handler has returned: a handler that keeps one keeps a Clone.
type Request struct {
	Type string // one of the Type constants, or what a stranger sent

	Account  string // short name of a login
	Issuer   string
	MinValid int64 // seconds; ForceNew
	Scope    string
	Audience string
	Hint     string // application_hint: who asks, as it says itself

	// Config is the account's JSON object as it came, secrets included.
	Config secret.Text
	// PWEntry is the JSON object that says how an account file's password is found (oidc-agent 6.8), password included.
	PWEntry            secret.Text
	Confirm            bool
	AlwaysAllowIDToken bool
	PlainAdd           bool  // load without a test refresh
	Lifetime           int64 // seconds; 0 for ever
	HasLifetime        bool  // a lifetime was given: 0 then means "for ever", not "the agent's default"

	Password secret.Text // of lock and unlock

	Flow        []string
	NoWebserver bool
	NoScheme    bool
	OnlyAT      bool
	RedirectURI secret.Text // the whole redirected URI of code_exchange: it holds the code
	FromGen     bool
	State       string
	Device      secret.Text // the oidc_device object: it holds the device code

	Authorization           secret.Text // initial access token of a registration
	RegistrationClientURI   string
	RegistrationAccessToken secret.Text
	CertPath                string
	ConfigEndpoint          string

	Filename string      // of the scratch memory; never a real file
	Data     secret.Text // base64url text of file_write

	// MytokenProfile is a JSON string or object.
	MytokenProfile json.RawMessage

	// Relay is a name that the client has made up for this request, hard to guess: it can ask a person for the agent, who
	// answers with Reply.Ask then, and comes back with the same request. "" for a client that cannot.
	Relay string

	// peer is the client's connection while its request is handled, and what to call when that is not watched any more.
	peer func() (watchable, func(), error)
}

// watchable is what Watch needs of a connection.
type watchable interface {
	Read(b []byte) (int, error)
	SetReadDeadline(t time.Time) error
}

// Watch returns a context that ends when ctx does, and when the client has hung up. The protocol lets it say nothing
// between its request and the answer, so whatever comes ends it as well. Call stop when it is not needed any more.
func (r Request) Watch(ctx context.Context) (watched context.Context, stop func()) {
	if r.peer == nil {
		return ctx, func() {}
	}
	peer, done, err := r.peer()
	if err != nil {
		return ctx, func() {} // it ends with its own limit then
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	_ = peer.SetReadDeadline(time.Time{})
	go func() {
		defer close(ended)
		var b [1]byte
		_, err := peer.Read(b[:])
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			cancel()
		}
	}()
	return ctx, func() {
		_ = peer.SetReadDeadline(time.Unix(1, 0))
		<-ended
		done()
		cancel()
	}
}

// IsIssuer reports whether a word that a person typed where a login is named is an issuer. The original's clients take
// http:// for a short name, which no login can have; without upstream a provider on loopback can be named like that.
func IsIssuer(word string, upstream bool) bool {
	return strings.HasPrefix(word, "https://") || !upstream && strings.HasPrefix(word, "http://")
}

// Wipe clears the secrets.
func (r *Request) Wipe() {
	for _, t := range []secret.Text{
		r.Config, r.PWEntry, r.Password, r.RedirectURI, r.Device, r.Authorization, r.RegistrationAccessToken, r.Data,
	} {
		t.Wipe()
	}
}
