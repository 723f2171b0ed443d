package proto

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestObject(t *testing.T) {
	deep := strings.Repeat(`{"a":`, maxDepth+1)
	for name, c := range map[string]struct {
		in, want string
		err      error
	}{
		"whole":                  {`{"a":"}"}`, `{"a":"}"}`, nil},
		"line end after it":      {"{}\n", "{}", nil},
		"blank before it":        {" \n{}", "{}", nil},
		"escaped quote":          {`{"a":"\"}"}`, `{"a":"\"}"}`, nil},
		"escaped backslash":      {`{"a":"\\"}`, `{"a":"\\"}`, nil},
		"array inside":           {`{"a":[{},{}]}`, `{"a":[{},{}]}`, nil},
		"second object after it": {`{}{}`, "", ErrMalformed},
		"unfinished":             {`{"a":"`, "", io.ErrUnexpectedEOF},
		"too deep":               {deep, "", ErrMalformed},
		"too large":              {`{"a":"` + strings.Repeat("x", MaxRequest) + `"}`, "", ErrTooLarge},
	} {
		for how, r := range map[string]io.Reader{
			"at once":      strings.NewReader(c.in),
			"byte by byte": iotest.OneByteReader(strings.NewReader(c.in)),
		} {
			if name == "second object after it" && how == "byte by byte" {
				continue // the first is whole before the second comes
			}
			in := &inbox{r: r, max: MaxRequest}
			_, err := in.first()
			if err != nil {
				t.Fatal(err)
			}
			got, err := in.object()
			if string(got) != c.want || !errors.Is(err, c.err) {
				t.Errorf("%s, %s: %.40q, %v", name, how, got, err)
			}
		}
	}
}

func TestKeyAndSealed(t *testing.T) {
	s := vectorSession(t)
	for name, tail := range map[string]string{"bare": "", "line ends": "\n", "windows line ends": "\r\n"} {
		stream := vecClientKey + tail + vecRequest + tail
		for how, r := range map[string]io.Reader{
			"at once":      strings.NewReader(stream),
			"byte by byte": iotest.OneByteReader(strings.NewReader(stream)),
		} {
			in := &inbox{r: r, max: wireSize(MaxRequest)}
			if _, err := in.first(); err != nil {
				t.Fatal(err)
			}
			key, err := in.key()
			if err != nil || string(key) != vecClientKey {
				t.Fatalf("%s, %s: key %q, %v", name, how, key, err)
			}
			if _, err := in.first(); err != nil {
				t.Fatal(err)
			}
			text, err := in.sealed(s)
			if err != nil || string(text) != `{"request":"check"}` {
				t.Errorf("%s, %s: %q, %v", name, how, text, err)
			}
		}
	}
}

func TestSealedLengthTooSmall(t *testing.T) {
	// A client that counts characters: the text has more bytes than it says, and comes in two pieces.
	s := vectorSession(t)
	msg := string(s.seal([]byte(`{"request":"check","application_hint":"ööööööööööööö"}`)))
	_, rest, _ := strings.Cut(msg, ":")
	msg = "20:" + rest
	for cut := 60; cut < len(msg); cut += 4 {
		in := &inbox{r: io.MultiReader(strings.NewReader(msg[:cut]), strings.NewReader(msg[cut:])), max: wireSize(MaxRequest)}
		if text, err := in.sealed(s); err != nil || !strings.Contains(string(text), "ö") {
			t.Fatalf("cut at %d: %q, %v", cut, text, err)
		}
	}
}

func TestSealedTriesAreBounded(t *testing.T) {
	// Byte by byte, always long enough by what it says itself: no more than maxTries are decrypted.
	s := vectorSession(t)
	msg := "0:" + strings.Repeat("A", nonceLen) + ":" + strings.Repeat("A", 64<<10)
	r := &countingReader{r: iotest.OneByteReader(strings.NewReader(msg))}
	in := &inbox{r: r, max: wireSize(MaxRequest)}
	if _, err := in.sealed(s); !errors.Is(err, ErrMalformed) {
		t.Fatalf("error is %v", err)
	}
	if r.n > 200 {
		t.Errorf("gave up after %d bytes", r.n)
	}
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestKeyRefusedAtOnce(t *testing.T) {
	r := &countingReader{r: iotest.OneByteReader(strings.NewReader("GET / HTTP/1.1\r\n\r\n"))}
	in := &inbox{r: r, max: MaxRequest}
	if _, err := in.first(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.key(); !errors.Is(err, ErrMalformed) || r.n != 4 {
		t.Errorf("read %d bytes, %v", r.n, err)
	}
}

// TestEndlessBlanks: whoever sends blanks faster than they are read is not read for ever.
func TestEndlessBlanks(t *testing.T) {
	blanks := &countingReader{r: blankReader{}}
	in := &inbox{r: io.LimitReader(blanks, 64<<20), max: MaxRequest}
	if _, err := in.first(); !errors.Is(err, ErrTooLarge) || blanks.n > 2*MaxRequest {
		t.Errorf("read %d bytes, %v", blanks.n, err)
	}
	in = &inbox{r: strings.NewReader(strings.Repeat(" ", MaxRequest/2) + "{"), max: MaxRequest}
	if c, err := in.first(); c != '{' || err != nil {
		t.Errorf("after some blanks: %q, %v", c, err)
	}
}

// blankReader never ends.
type blankReader struct{}

func (blankReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = " \t\r\n"[i%4]
	}
	return len(p), nil
}
