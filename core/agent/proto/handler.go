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

// HandlerFunc is a Handler made of one function.
type HandlerFunc func(ctx context.Context, p sock.Peer, req Request) Reply

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, p sock.Peer, req Request) Reply {
	return f(ctx, p, req)
}
