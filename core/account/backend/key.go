package backend

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// maxKey bounds a key, in bytes of its line: RSA keys of 16384 bits have some 2800.
const maxKey = 8 << 10

// ErrKey: a text is not an ssh public key.
var ErrKey = errors.New("not an ssh public key")

// Line is the key as "TYPE BASE64", fit for authorized_keys: without options and comment, of a type that sshd takes for
// logins, with a blob that says the same type. The error is ErrKey. What a blob says beyond its type is sshd's to judge.
func (k Key) Line() (string, error) {
	if len(k.Value) > maxKey || strings.ContainsAny(k.Value, "\r\n\x00") {
		return "", ErrKey
	}
	fields := strings.Fields(k.Value)
	if len(fields) < 2 || !keyType(fields[0]) {
		return "", ErrKey
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil || len(blob) < 4 {
		return "", ErrKey
	}
	n := binary.BigEndian.Uint32(blob)
	if uint64(n) > uint64(len(blob)-4) || string(blob[4:4+n]) != fields[0] {
		return "", ErrKey
	}
	return fields[0] + " " + fields[1], nil
}

// keyType reports whether sshd takes such keys for logins: certificates are no such keys.
func keyType(s string) bool {
	switch s {
	case "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
		"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com":
		return true
	}
	return false
}
