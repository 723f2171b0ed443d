package boltstore

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Info is what a file tells without any key.
type Info struct {
	Path    string
	Role    string
	Format  string
	Created time.Time // zero when unknown
	Size    int64     // of the file, in bytes
	InUse   string    // who says to hold it, "" for nobody or unknown
	// Tables is by name. It is nil when the file is above 16 MiB; role and format are empty then while it is in use.
	Tables map[string]TableInfo
}

// TableInfo counts the rows of one table, expired ones included.
type TableInfo struct {
	Records int
	Bytes   int64 // of keys and values
}

// Peek reads what the file at path is, also while somebody has it open, and changes nothing. It fails with
// store.ErrUnsafe, fs.ErrNotExist and store.ErrCorrupt as Open does; role and version are for the caller to judge.
func Peek(path string) (Info, error) {
	info, err := peek(path)
	if err != nil {
		return Info{}, fmt.Errorf("look at store %s: %w", path, err)
	}
	return info, nil
}

func peek(path string) (Info, error) {
	if err := checkPlace(path, false); err != nil {
		return Info{}, err
	}
	raw, err := os.Open(path)
	if err != nil {
		return Info{}, err
	}
	defer func() { _ = raw.Close() }()
	st, err := raw.Stat()
	if err != nil {
		return Info{}, err
	}
	info := Info{Path: path, Size: st.Size(), InUse: readHolder(path)}
	h, meta, err := info.count(raw)
	if err != nil {
		return Info{}, err
	}
	if h.high*pageSize > fullCheckSize {
		info.Tables = nil
		if meta = lockedMeta(path); meta == nil {
			return info, nil
		}
	}
	if _, ok := meta[metaFormat]; !ok {
		return Info{}, corrupt("it is a bbolt file, but no store of oidcbox")
	}
	info.Format, info.Role = meta[metaFormat], meta[metaRole]
	if created, err := time.Parse(time.RFC3339, meta[metaCreated]); err == nil {
		info.Created = created
	}
	return info, nil
}

// lockedMeta reads the bucket meta of a file that nobody has open for writing; nil when somebody has.
func lockedMeta(path string) map[string]string {
	f, err := openBolt(path, true, DefaultTimeout, false)
	if err != nil {
		return nil
	}
	defer f.retire()
	meta, err := f.readMeta()
	if err != nil {
		return nil
	}
	return meta
}

// count fills Tables and returns what the bucket meta holds.
func (i *Info) count(raw *os.File) (h head, meta map[string]string, err error) {
	h, err = inspect(raw, fullCheckSize, func() visitor {
		i.Tables, meta = map[string]TableInfo{}, map[string]string{}
		return func(bucket string, key, value []byte) {
			if bucket == metaBucket {
				meta[string(key)] = string(value)
			}
			if name, ok := strings.CutPrefix(bucket, tablePrefix); ok {
				t := i.Tables[name]
				t.Records++
				t.Bytes += int64(len(key) + len(value))
				i.Tables[name] = t
			}
		}
	})
	return h, meta, err
}
