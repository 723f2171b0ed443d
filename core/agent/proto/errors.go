package proto

import "errors"

// Error texts of answers that programs compare with or that people know. They are part of the protocol: exact.
const (
	TextNotLoaded       = "account not loaded"
	TextNotConfigured   = "No account configured with that short name"
	TextLocked          = "Agent locked"
	TextNotLocked       = "Agent not locked"
	TextWrongPassword   = "wrong password"
	TextPending         = "authorization_pending"
	TextSlowDown        = "slow_down"
	TextNoType          = "Bad Request: No request type."
	TextUnknownType     = "Bad Request: Unknown request type."
	TextBadRequest      = "Bad Request: " // a prefix
	TextNotJSON         = "could not parse json"
	TextNotYet          = "Not yet implemented" // a token request with neither account nor issuer
	TextForbidden       = "operation forbidden"
	TextNoRefreshToken  = "No or malformed refresh token"
	TextBadCredentials  = "Bad credentials"
	TextNoDeviceFlow    = "Device Flow not Supported by OpenID Provider"
	TextNoFlow          = "No flow was successful."
	TextWrongState      = "wrong state"
	TextStateMalformed  = "state malformed"
	TextNoState         = "redirected uri did not contain state parameter"
	TextNoCode          = "redirected uri did not contain code parameter"
	TextWrongDeviceCode = "wrong device code"
	TextNotMytoken      = "Not a valid mytoken configuration"
	TextFileNotFound    = "File not found"
	TextNoRevocation    = "Token revocation is not supported by this issuer."
	TextCannotRevoke    = "Could not revoke token: "  // a prefix
	TextCannotDelete    = "Could not delete client: " // a prefix
	TextCannotConnect   = "Could not connect to oidc-agent"
	TextSockNotSet      = "OIDC_SOCK env var not set"
	TextAlreadyLoaded   = "An account with this shortname is already loaded." // a prefix
	TextTimeout         = "reached timeout"
	TextMaxTries        = "reached maximum number of tries"
	TextCancelled       = "user cancelled password prompt"
	TextCannotReach     = "could not connect to url"
	TextTLS             = "error with ssl cert"
	TextNotJSONAnswer   = "Provider answered with unexpected response, JSON expected"
	TextNoServer        = "Could not start the http server on any of the registered redirect uris."
	TextOtherIssuer     = "Provider uses another issuer url than expected." // a prefix
	TextBusy            = "request currently not acceptable; please try again later"
	TextAgentLocked     = "Agent locked"   // info of a successful lock
	TextAgentUnlocked   = "Agent unlocked" // info of a successful unlock
)

var (
	// ErrNoAgent is returned by Client.Call when nobody listens at the socket, or no socket is known.
	ErrNoAgent = errors.New("no agent is running")

	// ErrNoAnswer is returned by Client.Call when the agent closed the connection without an answer, or cut it short.
	ErrNoAnswer = errors.New("did not receive any response")

	// ErrTooLarge is returned for a message above MaxRequest or MaxReply.
	ErrTooLarge = errors.New("message is too large")

	// ErrMalformed is returned for a message that is no JSON object, key or cipher text of this protocol.
	ErrMalformed = errors.New("malformed message")
)

// AgentError is a failure that the agent answered.
type AgentError struct {
	Text string // the "error" member
	Help string // the "info" member, for the person; may have several lines
	// Issuer is the provider that the failure is about, "" when it is about none or the agent does not say.
	Issuer string
}

func (e *AgentError) Error() string { return e.Text }
