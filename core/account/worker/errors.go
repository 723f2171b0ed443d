package worker

import "errors"

var (
	// ErrProtocol: the other side said something that is not in the protocol. Nothing was changed.
	ErrProtocol = errors.New("not the worker's protocol")
	// ErrOptions: the options of Serve would let somebody in who must not be, or lack what it needs.
	ErrOptions = errors.New("options of the worker")
	// ErrLedger: a record of the worker's ledger cannot be read. Nothing is done for that identity.
	ErrLedger = errors.New("record in the worker's ledger is damaged")
)
