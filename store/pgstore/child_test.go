package pgstore

import "context"

const childEnv = "OIDCBOX_PGSTORE_CHILD"

type child struct{}

func (c child) run(context.Context) error { return nil }
