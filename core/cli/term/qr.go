package term

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
	"rsc.io/qr"
)

// ErrNoRoom is returned for a picture that the screen is too small for.
var ErrNoRoom = errors.New("the screen is too small for a QR code")

const (
	// quiet is the light border, in modules. The standard asks for four; telephones are content with two.
	quiet = 2
	// spare are the lines that stay for what stands around the picture.
	spare = 2
	// maxQR bounds the text: what does not fit a terminal anyway is not worth drawing.
	maxQR = 512
)

// QROptions say what the screen is like.
type QROptions struct {
	Width, Height int  // in characters
	Colour        bool // say which colour is light; without it, a dark screen is assumed
}

// QR draws text as a QR code (ISO/IEC 18004) of half blocks, two modules to a character. The error is ErrNoRoom, or
// says that the text is too long for one.
func QR(text string, o QROptions) (string, error) {
	if len(text) > maxQR {
		return "", fmt.Errorf("%w: %d bytes of text", ErrNoRoom, len(text))
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", fmt.Errorf("make a QR code: %w", err)
	}
	side := code.Size + 2*quiet
	if side > o.Width || (side+1)/2+spare > o.Height {
		return "", ErrNoRoom
	}
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		if o.Colour {
			b.WriteString("\x1b[38;5;231;48;5;16m") // white on black, whatever the screen has
		}
		for x := -quiet; x < code.Size+quiet; x++ {
			light := y+1 < code.Size+quiet && !code.Black(x, y+1)
			b.WriteString(half(!code.Black(x, y), light))
		}
		if o.Colour {
			b.WriteString("\x1b[0m")
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// half is the character for two modules, one above the other. What is light is drawn, what is dark is left out.
func half(upper, lower bool) string {
	switch {
	case upper && lower:
		return "█"
	case upper:
		return "▀"
	case lower:
		return "▄"
	}
	return " "
}

// Size returns how many characters the terminal w has. ok is false for what is no terminal.
func Size(w io.Writer) (width, height int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	return width, height, err == nil && width > 0 && height > 0
}
