package pam

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Severities of RFC 3164 that are used here, and the facility for what concerns logins.
const (
	sevErr    = 3
	sevNotice = 5
	sevInfo   = 6
	sevDebug  = 7

	authpriv = 10 << 3
)

const (
	defaultLog = "/dev/log"
	logWait    = 300 * time.Millisecond // for a log daemon that does not read
	maxMessage = 900                    // bytes: RFC 3164 knows 1024 with what stands in front
)

// syslog writes to the log of the host. There is no connection to keep: a login is one line.
type syslog struct {
	path string // of the socket
	tag  string
	now  func() time.Time
}

// write writes one line. Nobody can be told when that fails, and a login does not depend on it.
func (s syslog) write(severity int, text string) {
	c, err := net.Dial("unixgram", s.path)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(logWait))
	_, _ = c.Write([]byte(s.line(severity, text)))
}

// line is a message: one line, nothing in it that does something to a terminal.
func (s syslog) line(severity int, text string) string {
	text = strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(cli.Printable(text))
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "")
	}
	return fmt.Sprintf("<%d>%s %s[%d]: %s", authpriv|severity, s.now().Format(time.Stamp), s.tag, os.Getpid(), text)
}

// newSyslog is the log of the host; root is "" but in tests.
func newSyslog(root string, now func() time.Time) syslog {
	return syslog{path: filepath.Join("/", root, defaultLog), tag: "oidcbox-pam", now: now}
}
