package term

import (
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"rsc.io/qr"
)

// TestQR reads the picture back, module by module.
func TestQR(t *testing.T) {
	const text = "https://op.example.org/device?user_code=ABCD-EFGH"
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := QR(text, QROptions{Width: 80, Height: 24})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(picture, "\n"), "\n")
	if side := code.Size + 2*quiet; len(lines) != (side+1)/2 {
		t.Fatalf("%d lines for %d modules", len(lines), side)
	}
	for row, line := range lines {
		runes := []rune(line)
		if len(runes) != code.Size+2*quiet {
			t.Fatalf("line %d has %d characters", row, len(runes))
		}
		for x, r := range runes {
			upper, lower := r == '█' || r == '▀', r == '█' || r == '▄'
			y := 2*row - quiet
			if upper == code.Black(x-quiet, y) || y+1 < code.Size+quiet && lower == code.Black(x-quiet, y+1) {
				t.Fatalf("module %d,%d is wrong", x-quiet, y)
			}
		}
	}
}

func TestQRFits(t *testing.T) {
	link := "https://op.example.org/device?user_code=ABCD-EFGH"
	for name, o := range map[string]QROptions{
		"too_narrow": {Width: 30, Height: 60}, "too_low": {Width: 80, Height: 12}, "nothing": {},
	} {
		if _, err := QR(link, o); !errors.Is(err, ErrNoRoom) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := QR(strings.Repeat("x", maxQR+1), QROptions{Width: 1000, Height: 1000}); !errors.Is(err, ErrNoRoom) {
		t.Errorf("a long text: %v", err)
	}
	picture, err := QR(link, QROptions{Width: 80, Height: 24, Colour: true})
	if err != nil || !utf8.ValidString(picture) || strings.Count(picture, "\x1b[0m") != strings.Count(picture, "\n") {
		t.Errorf("colours are not put back at the end of each line: %v", err)
	}
}

func TestSizeOfNoTerminal(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, ok := Size(f); ok {
		t.Error("the null device has a size")
	}
	if _, _, ok := Size(&strings.Builder{}); ok {
		t.Error("a builder has a size")
	}
}
