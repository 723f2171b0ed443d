package notices

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// purpose is what a code is for. One of a purpose is no good for another.
type purpose string

const (
	forManaging    purpose = "manage"
	forCalendar    purpose = "calendar"
	forConfirming  purpose = "verify_email"
	forRecreating  purpose = "recreate_token"
	forRemoving    purpose = "remove_from_calendar"
	forMuting      purpose = "unsubscribe_scheduled"
	forUnsubscribe purpose = "unsubscribe"
)

// Lengths of codes in characters, of 5 bits each.
const (
	codeLength       = 32
	managementLength = 64
)

// randomCode returns letters and digits only: a code can stand in a URL, and as an argument of a command.
func randomCode(length int) string {
	var b strings.Builder
	for b.Len() < length {
		b.WriteString(rand.Text())
	}
	return b.String()[:length]
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// likeCode reports whether a text can be a code, before anything is looked up.
func likeCode(s string) bool {
	return (len(s) == codeLength || len(s) == managementLength) &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// keepCode puts a code down for a person; it is found by the code, and by the person for erasing.
func keepCode(tx store.WTx, code string, c codeRecord) error {
	c.Version = recordVersion
	hash := hashOf(code)
	if err := put(tx, c, c.Expires, kindCode, hash); err != nil {
		return err
	}
	return put(tx, codeRecord{Version: recordVersion}, c.Expires, kindOwned, c.User, hash)
}

func dropCode(tx store.WTx, user, code string) error {
	if code == "" {
		return nil
	}
	hash := hashOf(code)
	return errors.Join(remove(tx, kindCode, hash), remove(tx, kindOwned, user, hash))
}

// look returns what a code is good for. ErrUnknown.
func (n *Notices) look(tx store.Tx, code string, p purpose) (*codeRecord, error) {
	if !likeCode(code) {
		return nil, ErrUnknown
	}
	c, err := get[codeRecord](tx, kindCode, hashOf(code))
	if err != nil {
		return nil, err
	}
	if c.Purpose != p || !c.Expires.IsZero() && !n.now().Before(c.Expires) {
		return nil, ErrUnknown
	}
	return c, nil
}

// link is the address of an action.
func (n *Notices) link(p purpose, code string) string {
	return n.base + PathActions + "?action=" + string(p) + "&code=" + code
}

// token returns the record of a mytoken, with codes for making another like it and for hearing no more of its end. It
// is to be saved.
func token(tx store.WTx, user, momID string) (*tokenRecord, error) {
	t, err := getForUpdate[tokenRecord](tx, kindToken, user, momID)
	if errors.Is(err, ErrUnknown) {
		t, err = &tokenRecord{Version: recordVersion}, nil
	}
	if err != nil || t.Again != "" {
		return t, err
	}
	t.Again, t.Mute = randomCode(codeLength), randomCode(codeLength)
	return t, errors.Join(
		keepCode(tx, t.Again, codeRecord{User: user, Purpose: forRecreating, MOMID: momID}),
		keepCode(tx, t.Mute, codeRecord{User: user, Purpose: forMuting, MOMID: momID}))
}

func saveToken(tx store.WTx, user, momID string, t *tokenRecord) error {
	return put(tx, t, time.Time{}, kindToken, user, momID)
}
