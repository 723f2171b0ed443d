package boltstore

import (
	"errors"
	"fmt"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/oidcbox/oidcbox/store"
)

// formatVersion is what meta/format says. A change that an older program would misread counts it up.
const formatVersion = "1"

// Buckets and keys of the file; see docs/formats/store.md.
const (
	metaBucket  = "meta"
	leaseBucket = "leases"
	tablePrefix = "t:" // before the name of a table

	metaFormat  = "format"
	metaRole    = "role"
	metaCreated = "created"
)

func (f *file) writeMeta(role string, now time.Time) error {
	return f.guard("write what the file is", func() error {
		return f.db.Update(func(t *bolt.Tx) error {
			b, err := t.CreateBucketIfNotExists([]byte(metaBucket))
			if err != nil {
				return err
			}
			return errors.Join(
				b.Put([]byte(metaFormat), []byte(formatVersion)),
				b.Put([]byte(metaRole), []byte(role)),
				b.Put([]byte(metaCreated), []byte(now.UTC().Format(time.RFC3339))),
			)
		})
	})
}

// checkMeta compares format and role. An empty role of the caller accepts any.
func (f *file) checkMeta(role string) error {
	meta, err := f.readMeta()
	if err != nil {
		return err
	}
	return judgeMeta(meta, role)
}

func (f *file) readMeta() (map[string]string, error) {
	meta := map[string]string{}
	err := f.guard("read what the file is", func() error {
		return f.db.View(func(t *bolt.Tx) error {
			b := t.Bucket([]byte(metaBucket))
			if b == nil {
				return nil
			}
			return b.ForEach(func(k, v []byte) error {
				meta[string(k)] = string(v)
				return nil
			})
		})
	})
	return meta, err
}

func judgeMeta(meta map[string]string, role string) error {
	format, ok := meta[metaFormat]
	if !ok {
		return fmt.Errorf("it is a bbolt file, but no store of oidcbox: %w", store.ErrCorrupt)
	}
	if format != formatVersion {
		return fmt.Errorf("it has format %.20q, this program knows format %q: %w", format, formatVersion, store.ErrVersion)
	}
	if role != "" && meta[metaRole] != role {
		return fmt.Errorf("it belongs to %.40q, not to %q: %w", meta[metaRole], role, store.ErrWrongRole)
	}
	return nil
}

// translate maps errors of bbolt and the system to those of package store.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrCorrupt):
		return err
	case isNoSpace(err):
		return fmt.Errorf("%w: %w", store.ErrNoSpace, err)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum),
		errors.Is(err, berrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return err
}

func isNoSpace(err error) bool {
	for _, no := range noSpaceErrors() {
		// bbolt drops the error number when it cannot grow the file, and keeps the text.
		if errors.Is(err, no) || strings.HasSuffix(err.Error(), no.Error()) {
			return true
		}
	}
	return false
}
