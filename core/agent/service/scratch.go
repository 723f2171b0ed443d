package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// Bounds of the scratch memory that oidc-gen parks a registration in between two calls.
const (
	maxScratch     = 64
	maxScratchName = 255
	maxScratchData = 48 << 10
	scratchLife    = 24 * time.Hour
)

// scratchTable is on the memory shelf: what is parked has secrets in it, and ends with the process.
func scratchTable() store.Table { return store.Table{Name: "agent-scratch", HideKeys: true} }

func checkScratchName(name string) error {
	if name == "" || len(name) > maxScratchName {
		return badRequest("filename of %d bytes", len(name))
	}
	return nil
}

// fileWrite keeps data under a name. It never touches a file.
func (s *Service) fileWrite(ctx context.Context, r proto.Request) (proto.Reply, error) {
	if err := checkScratchName(r.Filename); err != nil {
		return proto.Reply{}, err
	}
	if r.Data.Len() > maxScratchData {
		return proto.Reply{}, badRequest("data is longer than %d bytes", maxScratchData)
	}
	err := r.Data.Use(func(b []byte) error {
		return s.memory().eng.Update(ctx, func(tx store.WTx) error {
			if err := roomFor(tx, r.Filename); err != nil {
				return err
			}
			return tx.Put(scratchTable(), store.Record{
				Key: store.Key{r.Filename}, Value: b, Expires: s.opts.Now().Add(scratchLife),
			})
		})
	})
	if err != nil {
		return proto.Reply{}, fmt.Errorf("keep data for a client: %w", err)
	}
	return proto.Success(""), nil
}

func roomFor(tx store.WTx, name string) error {
	n := 0
	for rec, err := range tx.Scan(scratchTable(), nil) {
		if err != nil {
			return err
		}
		clear(rec.Value)
		if rec.Key[0] == name {
			return nil
		}
		n++
	}
	if n >= maxScratch {
		return ErrTooMany
	}
	return nil
}

func (s *Service) fileRead(ctx context.Context, r proto.Request) (proto.Reply, error) {
	if err := checkScratchName(r.Filename); err != nil {
		return proto.Reply{}, err
	}
	var data secret.Text
	err := s.memory().eng.View(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(scratchTable(), store.Key{r.Filename})
		data = secret.New(rec.Value)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return proto.Reply{}, fail(proto.TextFileNotFound, "")
	}
	return proto.Reply{Status: proto.StatusSuccess, Data: data}, err
}

func (s *Service) fileRemove(ctx context.Context, r proto.Request) (proto.Reply, error) {
	if err := checkScratchName(r.Filename); err != nil {
		return proto.Reply{}, err
	}
	err := s.memory().eng.Update(ctx, func(tx store.WTx) error {
		_, err := tx.Get(scratchTable(), store.Key{r.Filename})
		if err != nil {
			return err
		}
		return tx.Delete(scratchTable(), store.Key{r.Filename})
	})
	if errors.Is(err, store.ErrNotFound) {
		return proto.Reply{}, fail(proto.TextFileNotFound, "")
	}
	return proto.Success(""), err
}
