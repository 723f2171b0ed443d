package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"github.com/oidcbox/oidcbox/store"
)

// This file reads bbolt's pages without mapping them and trusts none of their numbers. bbolt checks only the checksum
// of its two meta pages; an offset that points out of the file would kill the process.

const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	headerSize = 16 // of a page
	metaSize   = 64
	headSize   = 2 * pageSize

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10

	bucketHeader = 16
	maxDepth     = 64 // of pages below the root, buckets included
)

// head is what the newer valid meta page says.
type head struct {
	root, freelist, high uint64 // page numbers; high is the first one not in use
	txid                 uint64
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, store.ErrCorrupt)...)
}

// inspectFile checks the head of a file and, up to fullCheckSize, every page that can be reached.
func inspectFile(path string) error {
	raw, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }()
	_, err = inspect(raw, fullCheckSize, func() visitor { return nil })
	return err
}

// visitor is called for every record: its bucket, key and value.
type visitor func(bucket string, key, value []byte)

// inspect reads r, of which it reads the head alone when more than limit bytes are in use. It may be written to at the
// same time: what looks wrong is read again before it counts, with a new visitor for each attempt.
func inspect(r *os.File, limit uint64, visit func() visitor) (h head, err error) {
	const attempts = 5
	for range attempts {
		if h, err = inspectOnce(r, limit, visit()); !errors.Is(err, errMoved) {
			break
		}
	}
	return h, err
}

func inspectOnce(r *os.File, limit uint64, visit visitor) (head, error) {
	first, err := readHead(r)
	if err != nil {
		return head{}, err
	}
	h, fault := inspectPages(r, first, limit, visit)
	if fault == nil {
		return h, nil
	}
	again, err := readHead(r)
	if err == nil && !bytes.Equal(first, again) {
		err = errMoved
	}
	if err != nil {
		return head{}, err
	}
	return head{}, fault
}

func inspectPages(r *os.File, first []byte, limit uint64, visit visitor) (head, error) {
	info, err := r.Stat()
	if err != nil {
		return head{}, err
	}
	h, err := parseHead(first, info.Size())
	if err != nil || h.high*pageSize > limit {
		return h, err
	}
	data := make([]byte, h.high*pageSize)
	if _, err := r.ReadAt(data, 0); err != nil {
		return head{}, fmt.Errorf("read pages: %w", err)
	}
	return h, walk(data, h, visit)
}

// readHead returns the two meta pages, or as much of them as there is.
func readHead(r io.ReaderAt) ([]byte, error) {
	b := make([]byte, headSize)
	n, err := r.ReadAt(b, 0)
	if err != nil && err != io.EOF { //nolint:errorlint // ReaderAt returns io.EOF itself
		return nil, fmt.Errorf("read head: %w", err)
	}
	return b[:n], nil
}

// parseHead chooses between the two meta pages as bbolt does and checks that the file is as long as it must be.
func parseHead(b []byte, size int64) (head, error) {
	if len(b) == 0 {
		return head{}, corrupt("file is empty")
	}
	if len(b) < headSize {
		return head{}, corrupt("file of %d bytes is cut off or no store", len(b))
	}
	first, err1 := parseMeta(b[:pageSize])
	second, err2 := parseMeta(b[pageSize:])
	switch {
	case err1 != nil && err2 != nil:
		return head{}, err1
	case err1 != nil, err2 == nil && second.txid > first.txid:
		first = second
	}
	if first.high < 4 || first.root < 2 || first.root >= first.high ||
		first.freelist < 2 || first.freelist >= first.high {
		return head{}, corrupt("meta page points out of the file")
	}
	if first.high > uint64(size)/pageSize {
		return head{}, corrupt("file is cut off: %d bytes of %d pages", size, first.high)
	}
	return first, nil
}

func parseMeta(page []byte) (head, error) {
	m := page[headerSize : headerSize+metaSize]
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	if u32(m) != boltMagic {
		return head{}, corrupt("file is no store: it begins with other bytes")
	}
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaSize-8])
	if sum.Sum64() != u64(m[metaSize-8:]) {
		return head{}, corrupt("both meta pages are damaged: checksum does not match")
	}
	if u32(m[4:]) != boltVersion || u32(m[8:]) != pageSize {
		return head{}, corrupt("bbolt version %d with pages of %d bytes is none of ours", u32(m[4:]), u32(m[8:]))
	}
	return head{root: u64(m[16:]), freelist: u64(m[32:]), high: u64(m[40:]), txid: u64(m[48:])}, nil
}

// walker visits the pages of one snapshot.
type walker struct {
	data  []byte
	high  uint64
	used  []bool // by page number
	visit visitor
}

func walk(data []byte, h head, visit visitor) error {
	w := &walker{data: data, high: h.high, used: make([]bool, h.high), visit: visit}
	if err := w.tree(h.root, "", 0); err != nil {
		return err
	}
	return w.freelist(h.freelist)
}

// page returns a page with what it overflows into, and marks all of that as used.
func (w *walker) page(id uint64) ([]byte, error) {
	if id < 2 || id >= w.high {
		return nil, corrupt("page %d is out of the file", id)
	}
	p := w.data[id*pageSize:]
	if binary.NativeEndian.Uint64(p) != id {
		return nil, corrupt("page %d is damaged", id)
	}
	n := uint64(binary.NativeEndian.Uint32(p[12:])) + 1
	if n > w.high-id {
		return nil, corrupt("page %d is cut off", id)
	}
	for i := id; i < id+n; i++ {
		if w.used[i] {
			return nil, corrupt("page %d is used twice", i)
		}
		w.used[i] = true
	}
	return p[:n*pageSize], nil
}

func (w *walker) tree(id uint64, bucket string, depth int) error {
	if depth > maxDepth {
		return corrupt("page %d lies too deep", id)
	}
	p, err := w.page(id)
	if err != nil {
		return err
	}
	switch flags := binary.NativeEndian.Uint16(p[8:]); flags {
	case flagLeaf:
		return w.leaf(p, bucket, depth)
	case flagBranch:
		return w.branch(p, bucket, depth)
	default:
		return corrupt("page %d is of the wrong kind %#x", id, flags)
	}
}

func (w *walker) branch(p []byte, bucket string, depth int) error {
	const size = 16
	n := int(binary.NativeEndian.Uint16(p[10:]))
	if n == 0 || headerSize+n*size > len(p) {
		return corrupt("branch page has %d entries", n)
	}
	var last []byte
	for i := range n {
		e := p[headerSize+i*size:]
		key, err := cut(e, binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:]))
		if err != nil {
			return err
		}
		if i > 0 && bytes.Compare(last, key) >= 0 {
			return corrupt("branch page is out of order")
		}
		last = key
		if err := w.tree(binary.NativeEndian.Uint64(e[8:]), bucket, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) leaf(p []byte, bucket string, depth int) error {
	const size = 16
	n := int(binary.NativeEndian.Uint16(p[10:]))
	if headerSize+n*size > len(p) {
		return corrupt("leaf page has %d entries", n)
	}
	var last []byte
	for i := range n {
		e := p[headerSize+i*size:]
		u32 := binary.NativeEndian.Uint32
		pos, klen, vlen := u32(e[4:]), u32(e[8:]), u32(e[12:])
		key, err := cut(e, pos, klen)
		if err != nil {
			return err
		}
		value, err := cut(e, pos+klen, vlen)
		if err != nil {
			return err
		}
		if len(key) == 0 || (i > 0 && bytes.Compare(last, key) >= 0) {
			return corrupt("leaf page is out of order")
		}
		last = key
		if u32(e)&1 == 0 {
			if bucket == "" {
				return corrupt("record without a bucket")
			}
			if w.visit != nil {
				w.visit(bucket, key, value)
			}
			continue
		}
		if err := w.bucket(string(key), bucket, value, depth); err != nil {
			return err
		}
	}
	return nil
}

// bucket follows a bucket's value: the number of its root page, or 0 and a leaf page in place.
func (w *walker) bucket(name, in string, value []byte, depth int) error {
	if in != "" {
		return corrupt("bucket in a bucket")
	}
	if len(value) < bucketHeader {
		return corrupt("bucket is cut off")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.tree(root, name, depth+1)
	}
	inline := value[bucketHeader:]
	if len(inline) < headerSize || binary.NativeEndian.Uint16(inline[8:]) != flagLeaf {
		return corrupt("bucket in place is cut off")
	}
	return w.leaf(inline, name, depth+1)
}

// freelist checks that no page is both free and in use: the next commit would overwrite it.
func (w *walker) freelist(id uint64) error {
	p, err := w.page(id)
	if err != nil {
		return err
	}
	if binary.NativeEndian.Uint16(p[8:]) != flagFreelist {
		return corrupt("page %d is no list of free pages", id)
	}
	list, n := p[headerSize:], uint64(binary.NativeEndian.Uint16(p[10:]))
	if n == 0xFFFF {
		n, list = binary.NativeEndian.Uint64(list), list[8:]
	}
	if n > uint64(len(list))/8 {
		return corrupt("list of free pages is cut off")
	}
	for i := range n {
		free := binary.NativeEndian.Uint64(list[i*8:])
		if free < 2 || free >= w.high || w.used[free] {
			return corrupt("page %d cannot be free", free)
		}
		w.used[free] = true
	}
	return nil
}

// cut returns n bytes at pos of b.
func cut(b []byte, pos, n uint32) ([]byte, error) {
	if uint64(pos)+uint64(n) > uint64(len(b)) {
		return nil, corrupt("entry points out of its page")
	}
	return b[pos : pos+n], nil
}
