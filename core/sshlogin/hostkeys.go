package sshlogin

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" // what known_hosts hashes names with
	"encoding/base64"
	"encoding/binary"
	"path"
	"slices"
	"strings"
)

// hostKey is a public key line of a host, less comment and host. It is false for what is none: the line goes to ssh,
// and a marker or a second name in it would mean something there.
func hostKey(line string) (string, bool) {
	words := strings.Fields(line)
	if len(words) < 2 || strings.ContainsAny(line, "\r\n\x00") || !knownKeyType(words[0]) {
		return "", false
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil || len(blob) < 4 {
		return "", false
	}
	n := binary.BigEndian.Uint32(blob)
	if uint64(n) > uint64(len(blob)-4) || string(blob[4:4+n]) != words[0] {
		return "", false
	}
	return words[0] + " " + words[1], true
}

func knownKeyType(name string) bool {
	return slices.Contains([]string{
		"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
		"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
	}, name)
}

// KnownHost reports whether a known_hosts file says anything of a host (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): a key,
// a revoked one, or an authority. name is the host as it stands there: in lower case, "[host]:port" when the port is
// not 22.
func KnownHost(file []byte, name string) bool {
	for line := range bytes.Lines(file) {
		words := strings.Fields(string(line))
		if len(words) > 0 && strings.HasPrefix(words[0], "@") {
			words = words[1:]
		}
		if len(words) < 2 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if matchesHosts(words[0], name) {
			return true
		}
	}
	return false
}

func matchesHosts(patterns, name string) bool {
	if hashed, ok := strings.CutPrefix(patterns, "|1|"); ok {
		return matchesHash(hashed, name)
	}
	found := false
	for p := range strings.SplitSeq(strings.ToLower(patterns), ",") {
		p, negated := strings.CutPrefix(p, "!")
		// A bracket begins a port here, not a class of characters.
		ok, err := path.Match(strings.NewReplacer("[", `\[`, "]", `\]`, "/", `\/`).Replace(p), name)
		if err != nil || !ok {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

func matchesHash(hashed, name string) bool {
	salt64, sum64, ok := strings.Cut(hashed, "|")
	salt, err := base64.StdEncoding.DecodeString(salt64)
	if !ok || err != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil)) == sum64
}

// KnownHostsName is the name that ssh looks a host up under.
func KnownHostsName(host, alias, port string) string {
	switch {
	case alias != "":
		return strings.ToLower(alias)
	case port == "" || port == "22":
		return strings.ToLower(host)
	}
	return "[" + strings.ToLower(host) + "]:" + port
}
