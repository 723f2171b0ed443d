package daemon

import (
	"net"
	"net/http"
)

// Door is a listener with what answers behind it.
type Door struct {
	net.Listener
	Handler http.Handler
	Name    string // for people: network and address
	What    string // requests, metrics, control
}

// Doors are listeners of a daemon that end together.
type Doors struct{ List []Door }

// Add puts a listener that is open to the others.
func (d *Doors) Add(ln net.Listener, h http.Handler, what string) {
	d.List = append(d.List, Door{ln, h, ln.Addr().Network() + ":" + ln.Addr().String(), what})
}

// Close closes all of them. A nil *Doors has none.
func (d *Doors) Close() {
	if d == nil {
		return
	}
	for _, l := range d.List {
		_ = l.Close()
	}
}
