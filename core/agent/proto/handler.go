package proto

import (
	"context"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Handler answers requests. It is called from many goroutines at once, one per connection, and may take minutes; ctx
// ends when Serve is told to stop. A panic ends that connection only.
type Handler interface {
	Handle(ctx context.Context, p sock.Peer, req Request) Reply
}

// PromptHandler is a Handler that can tell which requests it answers at once. Where Serve can, it calls HandleNow first,
// on the thread that has read the request and that serves other connections afterwards.
type PromptHandler interface {
	Handler
	// HandleNow is Handle for a request that needs no waiting: not for a provider, a person, a file or another request.
	// It is false for all others, of which it must have changed nothing.
	HandleNow(ctx context.Context, p sock.Peer, req Request) (Reply, bool)
}

// HandlerFunc is a Handler made of one function.
type HandlerFunc func(ctx context.Context, p sock.Peer, req Request) Reply

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, p sock.Peer, req Request) Reply {
	return f(ctx, p, req)
}
