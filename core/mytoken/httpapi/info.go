package httpapi

// Actions of the tokeninfo endpoint.
const (
	actionIntrospect    = "introspect"
	actionHistory       = "event_history"
	actionTree          = "subtokens"
	actionList          = "list_mytokens"
	actionNotifications = "notifications"
)

const (
	pathGrants  = pathSettings + "/grants"
	pathEmail   = pathSettings + "/email"
	pathTagList = pathSettings + "/tags"
)
