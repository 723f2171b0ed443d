package vault

// heapArea is the last resort: ordinary memory, wiped when it is freed.
type heapArea struct{ b []byte }

func (a *heapArea) bytes() []byte { return a.b }

func (a *heapArea) free() {
	clear(a.b)
	a.b = nil
}
