// Package profiles expands what a request for a mytoken names by name: profiles, and templates of capabilities,
// restrictions and rotation. An object is merged with those it includes: its own values win, lists are joined without
// repeating an entry, objects are merged member by member. Templates name templates; in the result there is no name
// left.
//
// Where the templates come from is handed in as a function; [Shipped] are those every server has. Relative times and
// "this" stay as they are: core/mytoken/rules settles them, [Payload] does for templates that are read. It stores no
// templates and knows no passwords of groups.
//
// Standards: the mytoken API, version 0, server profiles.
//
// Not a public API.
package profiles
