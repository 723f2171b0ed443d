package term

import (
	"fmt"
	"io"
)

// ShowQR draws text as a QR code on the controlling terminal; colour says whether it has colours. The error is
// ErrNoTerminal or that of QR.
func ShowQR(text string, colour bool) error {
	tty, err := openTerminal()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoTerminal, err)
	}
	defer func() { _ = tty.Close() }()
	width, height, ok := Size(tty.out)
	if !ok {
		return ErrNoRoom
	}
	picture, err := QR(text, QROptions{Width: width, Height: height, Colour: colour})
	if err != nil {
		return err
	}
	if _, err := io.WriteString(tty.out, picture); err != nil {
		return fmt.Errorf("write to the terminal: %w", err)
	}
	return nil
}
