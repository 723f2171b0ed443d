package pgstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// What is stored is bytes and numbers, so the driver's lower half (pgconn) is enough: its map of all types of
// PostgreSQL would be a tenth of the program.

// Types of PostgreSQL, and the form in which values of them travel.
const (
	typeBytea  = 17
	typeBigint = 20
	typeText   = 25
	asBinary   = 1
)

// query is a statement with its arguments: []byte, int64 or string.
type query struct {
	sql  string
	args []any
	// plain statements are not worth preparing: begin, commit. That they travel whole in one message also keeps the
	// moment short in which nobody knows what became of a commit.
	plain bool
	scan  func(row) error // takes each row of the answer
}

// encode returns the arguments as they travel, and their types.
func (q query) encode() (values [][]byte, types []uint32, formats []int16) {
	for _, a := range q.args {
		switch a := a.(type) {
		case []byte:
			values, types = append(values, a), append(types, typeBytea)
		case int64:
			values = append(values, binary.BigEndian.AppendUint64(nil, uint64(a))) //nolint:gosec // two's complement
			types = append(types, typeBigint)
		case string:
			values, types = append(values, []byte(a)), append(types, typeText)
		default:
			panic(fmt.Sprintf("pgstore: argument of type %T", a))
		}
		formats = append(formats, asBinary)
	}
	return values, types, formats
}

// row is one row of an answer. It is good until the next one is read.
type row [][]byte

var errRow = errors.New("answer of the database has another form than expected")

// scan copies the columns into []byte, string, int64, int and uint32.
func (r row) scan(into ...any) error {
	if len(r) != len(into) {
		return fmt.Errorf("%w: %d columns in place of %d", errRow, len(r), len(into))
	}
	for i, to := range into {
		if r[i] == nil {
			return fmt.Errorf("%w: column %d is null", errRow, i+1)
		}
		switch to := to.(type) {
		case *[]byte:
			*to = append([]byte{}, r[i]...)
			continue
		case *string:
			*to = string(r[i])
			continue
		}
		n, err := integer(r[i])
		if err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
		switch to := to.(type) {
		case *int64:
			*to = n
		case *int:
			*to = int(n)
		case *uint32:
			*to = uint32(n) //nolint:gosec // a process number
		default:
			panic(fmt.Sprintf("pgstore: column into %T", to))
		}
	}
	return nil
}

// integer reads an integer or a bigint.
func integer(b []byte) (int64, error) {
	switch len(b) {
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b))), nil //nolint:gosec // two's complement
	case 8:
		return int64(binary.BigEndian.Uint64(b)), nil //nolint:gosec // two's complement
	}
	return 0, fmt.Errorf("%w: a number of %d bytes", errRow, len(b))
}

// session is one connection to the server.
type session struct {
	*pgconn.PgConn
	// prepared are the statements that the server knows on this session by a name. Nil where others use it too.
	prepared map[string]string
	stale    bool // the server does not know what was prepared any more
}

// note looks whether an error is one of prepared statements that somebody has taken away or whose tables have changed:
// another connection helps.
func (s *session) note(err error) error {
	if isCode(err, unknownStatement, changedPlan) {
		s.stale = true
	}
	return err
}

// prepare makes the server know the statements that it does not know yet.
func (s *session) prepare(ctx context.Context, queries []query) error {
	if s.prepared == nil {
		return nil
	}
	for _, q := range queries {
		if q.plain || s.prepared[q.sql] != "" {
			continue
		}
		name := "oidcbox_" + strconv.Itoa(len(s.prepared))
		_, types, _ := q.encode()
		if _, err := s.Prepare(ctx, name, q.sql, types); err != nil {
			return err
		}
		s.prepared[q.sql] = name
	}
	return nil
}

// send sends prepared queries in one message. Each is answered in turn; the caller reads with next, and closes.
func (s *session) send(ctx context.Context, queries []query) *pgconn.MultiResultReader {
	batch := new(pgconn.Batch)
	for _, q := range queries {
		values, types, formats := q.encode()
		if name := s.prepared[q.sql]; name != "" {
			batch.ExecPrepared(name, values, formats, []int16{asBinary})
		} else {
			batch.ExecParams(q.sql, values, types, formats, []int16{asBinary})
		}
	}
	return s.ExecBatch(ctx, batch)
}

// run sends queries and reads the answers. It returns how many rows the last one has changed or given.
func (s *session) run(ctx context.Context, queries ...query) (n int64, err error) {
	defer func() { err = s.note(err) }()
	if err := s.prepare(ctx, queries); err != nil {
		return 0, err
	}
	answers := s.send(ctx, queries)
	for _, q := range queries {
		var tag pgconn.CommandTag
		if tag, err = next(answers, q.scan); err != nil {
			break
		}
		n = tag.RowsAffected()
	}
	if closing := answers.Close(); err == nil {
		err = closing
	}
	return n, err
}

// next reads the answer to one query.
func next(answers *pgconn.MultiResultReader, scan func(row) error) (tag pgconn.CommandTag, err error) {
	if !answers.NextResult() {
		if err = answers.Close(); err == nil {
			err = fmt.Errorf("%w: an answer is missing", errRow)
		}
		return tag, err
	}
	r := answers.ResultReader()
	for r.NextRow() {
		if scan != nil && err == nil {
			err = scan(r.Values())
		}
	}
	tag, closing := r.Close()
	if closing != nil {
		return tag, closing
	}
	return tag, err
}

// quote makes an identifier of a name, whatever stands in it.
func quote(name string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(name, "\x00", ""), `"`, `""`) + `"`
}
