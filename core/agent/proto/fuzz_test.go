package proto

import (
	"bytes"
	"testing"
	"testing/iotest"
)

// FuzzRequest: whatever is taken for a request keeps its meaning when it is written and read again, and a stream gives
// the same object in one piece and byte by byte.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"request":"check"}`,
		`{"request":"access_token","min_valid_period":0,"account":"acc","application_hint":"oidc-token"}`,
		`{"request":"add","config":{"name":"a","x":["\u0000",1e9,null]},"pw_entry":{"type":9},"lifetime":"60","confirm":1}`,
		`{"request":"gen","flow":"[\"code\"]","only_at":true,"mytoken_profile":{"a":1}}`,
		`{"request":"code_exchange","redirect_uri":"http://localhost:4242?code=a&state=b","from_gen":1}`,
		` {"account":"\ud83d\ude00\"\\"}` + "\n",
		`{"a":{}}{`, `{"a":1,"a":2}`, `{`, `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, wholeErr := streamed(bytes.NewReader(b))
		slow, slowErr := streamed(iotest.OneByteReader(bytes.NewReader(b)))
		if wholeErr == nil && (slowErr != nil || !bytes.Equal(whole, slow)) {
			t.Fatalf("in one piece %q, byte by byte %q, %v", whole, slow, slowErr)
		}
		r, err := decodeRequest(b)
		if err != nil {
			return
		}
		first, err := encodeRequest(&r)
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", b, err)
		}
		again, err := decodeRequest(first)
		if err != nil {
			t.Fatalf("%q was written and cannot be read: %v", first, err)
		}
		second, err := encodeRequest(&again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("first %q\nthen %q, %v", first, second, err)
		}
	})
}

func streamed(r interface{ Read([]byte) (int, error) }) ([]byte, error) {
	in := &inbox{r: r, max: MaxRequest}
	if _, err := in.first(); err != nil {
		return nil, err
	}
	return in.object()
}

// FuzzCipherMessage: nothing but what was sealed opens, and every text that is sealed does.
func FuzzCipherMessage(f *testing.F) {
	f.Add([]byte(vecRequest))
	f.Add([]byte(vecReply))
	f.Add([]byte(vecClientKey))
	f.Add([]byte("0::"))
	f.Add([]byte("19:" + "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD" + ":===="))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := vectorSession(t)
		plain, err := s.open(b)
		known := string(plain) == `{"request":"check"}` || string(plain) == `{"status":"success"}`
		if err == nil && !known {
			t.Fatalf("%q opened as %q", b, plain)
		}
		in := &inbox{r: bytes.NewReader(b), max: wireSize(MaxRequest)}
		_, _ = in.sealed(s)
		in = &inbox{r: bytes.NewReader(b), max: MaxRequest}
		_, _ = in.key()
		got, err := s.open(s.seal(b))
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%q came back as %q, %v", b, got, err)
		}
	})
}
