package sock

import (
	"fmt"
	"net"
	"strings"
)

// EnvNotify names the socket of a service manager that wants to hear how a service is (sd_notify(3)).
const EnvNotify = "NOTIFY_SOCKET"

// Notify tells the service manager a state, such as "READY=1". Without one it does nothing.
func Notify(getenv func(string) string, state string) error {
	path := getenv(EnvNotify)
	if path == "" {
		return nil
	}
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "@") {
		return fmt.Errorf("tell the service manager: %s is no path of a socket", EnvNotify)
	}
	// An abstract name begins with "@" here and with a zero byte for the kernel; package net knows that.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	_, err = c.Write([]byte(state))
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}
