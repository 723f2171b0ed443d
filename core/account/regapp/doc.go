// Package regapp keeps accounts in a reg-app (bwIDM): a service of several sites that has users by an external identity,
// registers them for services, and tells the hosts of a service who they are.
//
// Requests that change something are GETs there as well as POSTs, so none of them is ever repeated: when it is not known
// whether one arrived, the call fails, and the next one looks at how things are before it goes on. A reg-app tells no
// numbers and no shells, cannot list its users, and ends no sessions.
//
// Standards: none; the calls are those of bwIDM's REST interface, as the feudal adapter makes them.
//
// Not a public API.
package regapp
