package proto

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// SockName is the name of our agent's socket in sock.RuntimeDir.
const SockName = "agent.sock"

// Sockets returns the paths where an agent is looked for, best first: $OIDC_SOCK alone when it is set, else the socket
// of oidc-agent-service and that of our agent.
func Sockets(getenv func(string) string) []string {
	if p := getenv("OIDC_SOCK"); p != "" {
		return []string{p}
	}
	return []string{
		filepath.Join(ServiceDir(getenv), "oidc-agent.sock"),
		filepath.Join(sock.RuntimePath(getenv), SockName),
	}
}

// ServiceDir is the directory of oidc-agent-service: ${TMPDIR:-/tmp}/oidc-agent-service-<uid>.
func ServiceDir(getenv func(string) string) string {
	tmp := getenv("TMPDIR")
	if tmp == "" {
		tmp = "/tmp"
	}
	return filepath.Join(tmp, "oidc-agent-service-"+strconv.Itoa(os.Getuid()))
}
