package httpc

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
)

const maxRoots = 16 << 20 // the largest system bundles are below 1 MiB

// loadRoots reads a PEM bundle. It replaces the system's certificates: who names a CA means that one. An empty path is
// nil, which is the system's own.
func loadRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	if !info.Mode().IsRegular() { // opening a pipe may wait for ever
		return nil, fmt.Errorf("read CA file %s: %w", path, ErrCAFile)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, maxRoots+1))
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	if len(pem) > maxRoots {
		return nil, fmt.Errorf("read CA file %s: %w", path, ErrTooLarge)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA file %s: %w: no certificate in it", path, ErrCAFile)
	}
	return pool, nil
}
