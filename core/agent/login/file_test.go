package login

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/nacl/secretbox"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// A file that oidc-agent 4.2.6 and 5.3.3 decrypt, with fixed nonce and salt.
const (
	vectorPassword = "correct horse"
	vectorPlain    = `{"name":"demo","client_name":"oidc-agent:demo-host","issuer_url":"https://op.example.org/",` +
		`"client_id":"c1","client_secret":"s1","refresh_token":"rt1","auth_scope":"openid profile offline_access",` +
		`"redirect_uris":["http://localhost:4242"]}`
	vectorFile = `254
AAECAwQFBgcICQoLDA0ODxAREhMUFRYX
AAECAwQFBgcICQoLDA0ODw==
24:16:16:32:1:2:67108864:2
fL8JXtjjXvjHfyOKvdnSjF6U++UvFSbo4CZYMtMKbvQ4YFOX1GFBlskscv6VuxnkddqjFSkot65eghbFGDccNC9mOLLFIXuqfFAbJuGMbNSQPVMyStDJFm0ZoTXPpE4az8sXShkdRKHB43V6ZHZbmq4DmPZeZ7DQ+vtdsD3xXmMArfEoMzjh9H+uASvbl8Pf59fMRGSlxIpeaJsStWbTAFSmOYbcGSZfTIY7YPpP+L73eArXidAjnXZLpwj5K8YEc1FkcLPrO4qCvcDkw9gqI35oR8lAQt0PQMR5gs/zwRT8EKFow8QQFLfbh2ijIhOHM10xMbDKK4Zdz5ruZRA=
GUR7cJ2ZFoqnGH9wpG75ZaV2phh55a8RVS7pTkdTFKY=
Generated using version: 5.3.3`
)

func open(t *testing.T, file []byte, password string) (string, error) {
	t.Helper()
	f, err := ParseFile(file)
	if err != nil {
		return "", err
	}
	plain, err := f.Open(t.Context(), secret.FromString(password))
	return plain.Expose(), err
}

func TestVector(t *testing.T) {
	t.Run("opens", func(t *testing.T) {
		got, err := open(t, []byte(vectorFile), vectorPassword)
		if err != nil || got != vectorPlain {
			t.Errorf("%q, %v", got, err)
		}
	})
	t.Run("is_written_byte_for_byte", func(t *testing.T) {
		f, err := ParseFile([]byte(vectorFile))
		if err != nil {
			t.Fatal(err)
		}
		old := sprinkle{[nonceSize]byte(f.nonce), [saltSize]byte(f.salt)}
		got, err := old.encrypt(t.Context(), secret.FromString(vectorPlain), secret.FromString(vectorPassword))
		if err != nil || string(got) != vectorFile {
			t.Errorf("%s, %v", got, err)
		}
	})
	t.Run("wrong_password", func(t *testing.T) {
		if _, err := open(t, []byte(vectorFile), "correct horsf"); !errors.Is(err, ErrWrongPassword) {
			t.Error(err)
		}
	})
	t.Run("newline_added_by_an_editor", func(t *testing.T) {
		for _, end := range []string{"\n", "\r\n", "\n\n"} {
			if _, err := open(t, []byte(vectorFile+end), vectorPassword); err != nil {
				t.Errorf("%q: %v", end, err)
			}
		}
	})
	t.Run("changed_ciphertext", func(t *testing.T) {
		changed := strings.Replace(vectorFile, "fL8JXtjj", "fL8JXtjk", 1)
		if _, err := open(t, []byte(changed), vectorPassword); !errors.Is(err, ErrFormat) {
			t.Error(err)
		}
	})
}

func TestParseFileRefuses(t *testing.T) {
	lines := strings.Split(vectorFile, "\n")
	with := func(i int, s string) []byte {
		l := append([]string(nil), lines...)
		l[i] = s
		return []byte(strings.Join(l, "\n"))
	}
	for name, test := range map[string]struct {
		file []byte
		want error
	}{
		"empty":                   {nil, ErrFormat},
		"text":                    {[]byte("hello"), ErrFormat},
		"json":                    {[]byte(vectorPlain), ErrFormat},
		"too_large":               {bytes.Repeat([]byte("a"), MaxFile+1), ErrTooLarge},
		"wrong_length":            {with(0, "255"), ErrFormat},
		"negative_length":         {with(0, "-254"), ErrFormat},
		"short_nonce":             {with(1, "AAEC"), ErrFormat},
		"long_salt":               {with(2, "AAECAwQFBgcICQoLDA0ODw8P"), ErrFormat},
		"no_base64":               {with(4, "???"), ErrFormat},
		"other_nonce_length":      {with(3, "12:16:16:32:1:2:67108864:2"), ErrFormat},
		"other_algorithm":         {with(3, "24:16:16:32:1:2:67108864:1"), ErrFormat},
		"missing_number":          {with(3, "24:16:16:32:1:2:67108864"), ErrFormat},
		"signs":                   {with(3, "24:16:16:32:1:+2:67108864:2"), ErrFormat},
		"a_terabyte_of_memory":    {with(3, "24:16:16:32:1:2:1099511627776:2"), ErrParams},
		"memory_beyond_the_limit": {with(3, "24:16:16:32:1:2:268436480:2"), ErrParams},
		"no_memory":               {with(3, "24:16:16:32:1:2:0:2"), ErrParams},
		"a_million_passes":        {with(3, "24:16:16:32:1:1000000:67108864:2"), ErrParams},
		"no_passes":               {with(3, "24:16:16:32:1:0:67108864:2"), ErrParams},
		"line_missing":            {[]byte(strings.Join(append(lines[:5:5], lines[6]), "\n")), ErrFormat},
		"pgp_without_end":         {[]byte(pgpBegin + "\nabc\n"), ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseFile(test.file); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func TestParamsOfTheFileAreUsed(t *testing.T) {
	// One pass over 8 MiB, which no version of the original writes.
	salt, nonce := bytes.Repeat([]byte{7}, saltSize), [nonceSize]byte{9}
	key := argon2.IDKey([]byte("pw"), salt, 1, 8<<10, 1, 64)
	box := secretbox.Seal(nil, []byte("{}"), &nonce, (*[32]byte)(key))
	file := fmt.Sprintf("%d\n%s\n%s\n24:16:16:32:1:1:8388608:2\n%s\n%s\n%s5.3.3",
		len(box), b64(nonce[:]), b64(salt), b64(box), b64(key[32:]), generated)
	if got, err := open(t, []byte(file), "pw"); err != nil || got != "{}" {
		t.Errorf("%q, %v", got, err)
	}
}

// Files of versions before 2.1.0: one line, two derivations.
func TestOldFile(t *testing.T) {
	salt, nonce := bytes.Repeat([]byte{7}, saltSize), [nonceSize]byte{9}
	for name, key := range map[string][]byte{
		"argon2i":  argon2.Key([]byte("pw"), salt, 4, 32<<10, 1, 32),
		"argon2id": argon2.IDKey([]byte("pw"), salt, 2, 64<<10, 1, 32),
	} {
		box := secretbox.Seal(nil, []byte(`{"name":"old"}`), &nonce, (*[32]byte)(key))
		for _, version := range []string{"", "\n" + generated + "2.0.3"} {
			t.Run(name+strings.TrimSpace(version), func(t *testing.T) {
				line := fmt.Sprintf("%d:%x:%x:%s%s", len(box), salt, nonce, hex.EncodeToString(box), version)
				if got, err := open(t, []byte(line), "pw"); err != nil || got != `{"name":"old"}` {
					t.Errorf("%q, %v", got, err)
				}
				if _, err := open(t, []byte(line), "other"); !errors.Is(err, ErrWrongPassword) {
					t.Errorf("wrong password: %v", err)
				}
			})
		}
	}
}

func TestPGPFile(t *testing.T) {
	message := pgpBegin + "\n\nhQEMA0\n=abcd\n" + pgpEnd + "\n"
	f, err := ParseFile([]byte(message + "\n" + generated + "4.2.6"))
	if err != nil || f.Format != PGP || f.Version != "4.2.6" || string(f.Armour()) != message {
		t.Errorf("%v %q %q, %v", f.Format, f.Version, f.Armour(), err)
	}
	if _, err := f.Open(t.Context(), secret.FromString("pw")); !errors.Is(err, ErrPGP) {
		t.Error(err)
	}
}

func TestEncryptFileIsFresh(t *testing.T) {
	plain, pw := secret.FromString("{}"), secret.FromString("pw")
	a, err := EncryptFile(t.Context(), plain, pw)
	if err != nil {
		t.Fatal(err)
	}
	b, err := EncryptFile(t.Context(), plain, pw)
	if err != nil {
		t.Fatal(err)
	}
	la, lb := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	if la[1] == lb[1] || la[2] == lb[2] {
		t.Error("nonce or salt comes twice")
	}
	if len(la) != 7 || strings.HasSuffix(string(a), "\n") {
		t.Errorf("%d lines", len(la))
	}
}

// Debian's oidc-gen decrypts what we write.
func TestOriginalReadsOurs(t *testing.T) {
	services.Need(t, "oidc-gen")
	dir := t.TempDir()
	c := Config{
		Name: "demo", ClientName: "oidc-agent:demo-host", Issuer: "https://op.example.org", ClientID: "c1",
		ClientSecret: secret.FromString("s3kr1t"), RefreshToken: secret.FromString("rt <&> ü"),
		AuthScope: "openid offline_access", RedirectURIs: []string{"http://localhost:4242"},
	}
	plain, err := c.Compatible().Encode()
	if err != nil {
		t.Fatal(err)
	}
	file, err := EncryptFile(t.Context(), secret.FromString(string(plain)), secret.FromString(vectorPassword))
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteAccount(dir, "demo", file); err != nil {
		t.Fatal(err)
	}
	got, err := ParseConfig(printWithOriginal(t, dir, "demo"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Issuer != "https://op.example.org/" || !got.RefreshToken.Equal(c.RefreshToken) ||
		!got.ClientSecret.Equal(c.ClientSecret) || got.Scope != c.AuthScope {
		t.Errorf("%+v", got)
	}
}

// printWithOriginal runs oidc-gen -p on an account file.
func printWithOriginal(t *testing.T, dir, name string) []byte {
	t.Helper()
	pw := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(pw, []byte(vectorPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("oidc-gen", "--pw-cmd", "cat "+pw, "-p", filepath.Join(dir, name))
	cmd.Env = append(os.Environ(), "OIDC_CONFIG_DIR="+dir, "HOME="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("oidc-gen -p: %v\n%s%s", err, out, stderr.Bytes())
	}
	return out
}

// We read what Debian's oidc-gen wrote: -u encrypts a plain file.
func TestWeReadTheOriginals(t *testing.T) {
	services.Need(t, "oidc-gen")
	dir := t.TempDir()
	pw := filepath.Join(t.TempDir(), "pw")
	for path, content := range map[string]string{
		pw: vectorPassword + "\n", filepath.Join(dir, "demo"): vectorPlain,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("oidc-gen", "--pw-cmd", "cat "+pw, "-u", filepath.Join(dir, "demo"))
	cmd.Env = append(os.Environ(), "OIDC_CONFIG_DIR="+dir, "HOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("oidc-gen -u: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "demo"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := open(t, b, vectorPassword)
	if err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	c, err := ParseConfig([]byte(got))
	if err != nil || c.ClientID != "c1" || c.RefreshToken.Expose() != "rt1" {
		t.Errorf("%+v, %v", c, err)
	}
}

func FuzzAccountFile(f *testing.F) {
	f.Add([]byte(vectorFile))
	f.Add([]byte(pgpBegin + "\nx\n" + pgpEnd + "\n" + generated + "4.2.6"))
	f.Add(fmt.Appendf(nil, "18:%x:%x:%x", make([]byte, 16), make([]byte, 24), make([]byte, 18)))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := ParseFile(b)
		if err != nil {
			return
		}
		switch file.Format {
		case Password:
			if len(file.nonce) != nonceSize || len(file.salt) != saltSize || len(file.check) != keySize ||
				len(file.cipher) < macSize || file.params.Check() != nil {
				t.Errorf("accepted %+v", file)
			}
		case OldPassword:
			if len(file.nonce) != nonceSize || len(file.salt) != saltSize || len(file.cipher) < macSize {
				t.Errorf("accepted %+v", file)
			}
		case PGP:
			again, err := ParseFile(append(file.Armour(), generated+file.Version...))
			if err != nil || !bytes.Equal(again.armour, file.armour) {
				t.Errorf("the message does not parse again: %v", err)
			}
		default:
			t.Errorf("format %d", file.Format)
		}
	})
}
