//go:build unix && !darwin

package keystore

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	secretservice "github.com/zalando/go-keyring/secret_service"
)

var errNoBus = errors.New("there is no session bus, so no keyring")

// checkKeyring asks what the D-Bus library would ask, before it does: where it finds no session bus, it starts one with
// dbus-launch, which then outlives us on a login node or in a batch job. It looks at the environment of the process
// because the library does.
func checkKeyring() error {
	if a := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); a != "" && a != "autolaunch:" {
		return nil
	}
	dir := "/run/user/" + strconv.Itoa(os.Getuid())
	for _, name := range []string{"bus", "dbus-session"} {
		if _, err := os.Stat(dir + "/" + name); err == nil {
			return nil
		}
	}
	return errNoBus
}

// keyringOpen asks whether the collection that the library uses can be read without a question to the person.
func keyringOpen() error {
	svc, err := secretservice.NewSecretService()
	if err != nil {
		return err
	}
	locked, err := svc.GetLoginCollection().GetProperty("org.freedesktop.Secret.Collection.Locked")
	if err != nil {
		return fmt.Errorf("is it locked: %w", err)
	}
	if locked.Value() != false {
		return ErrKeyringLocked
	}
	return nil
}
