package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/oidcbox/oidcbox/store"
)

var (
	// ErrURL is returned by Open for an address that is not understood. It does not say which: there is a password in it.
	ErrURL = errors.New("not a database URL of the form postgres://user@host/database")
	// ErrPlain is returned by Open when the way to another machine would not be encrypted, or to who knows whom.
	ErrPlain = errors.New("connection to the database is not protected")
	// ErrRights is returned when the database user may not do what is needed.
	ErrRights = errors.New("database user lacks a right")
)

// States of PostgreSQL, Appendix A of its manual.
const (
	readOnlyTransaction = "25006" // a standby answers
	changedPlan         = "0A000" // of a prepared statement
	unknownStatement    = "26000" // a pooler has come in between
	invalidSchema       = "3F000"
	failedTransaction   = "25P02"
	serialization       = "40001"
	completionUnknown   = "40003"
	deadlock            = "40P01"
	noRight             = "42501"
	undefinedTable      = "42P01"
	diskFull            = "53100"
	tooManyConnections  = "53300"
	lockNotAvailable    = "55P03"
	queryCanceled       = "57014" // its time was over
)

// failure is an error of the engine, in contrast to one of the caller's function. Its text never holds an address with
// a password: the driver's errors name user, host and database only, and those of parsing are not passed on.
type failure struct {
	err   error
	again bool // nothing was changed, and another try may succeed
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// failed turns an error of the driver into one of the store. ctx is the caller's.
func failed(ctx context.Context, doing string, err error) *failure {
	var known *failure
	if errors.As(err, &known) {
		return known
	}
	if ctx.Err() != nil {
		return &failure{err: ctx.Err()}
	}
	if errors.Is(err, puddle.ErrClosedPool) {
		return &failure{err: store.ErrClosed}
	}
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		what, again := meaning(answer)
		return &failure{err: fmt.Errorf("%s: %w (%s, SQLSTATE %s)", doing, what, answer.Message, answer.Code), again: again}
	}
	return &failure{err: fmt.Errorf("%s: %w: %w", doing, store.ErrUnavailable, err), again: true}
}

var (
	errAnswer     = errors.New("database refuses")
	errConnection = errors.New("connection is closed")
)

// meaning says what an answer of the server is to the store, and whether to try again.
func meaning(answer *pgconn.PgError) (error, bool) {
	switch answer.Code {
	case serialization, deadlock, lockNotAvailable, queryCanceled:
		return store.ErrConflict, true
	case diskFull:
		return store.ErrNoSpace, false
	case noRight:
		return ErrRights, false
	case tooManyConnections, readOnlyTransaction, changedPlan, unknownStatement:
		return store.ErrUnavailable, true
	}
	switch {
	case strings.HasPrefix(answer.Code, "08"), strings.HasPrefix(answer.Code, "57P0"): // connection; shutdown, start
		return store.ErrUnavailable, true
	}
	return errAnswer, false
}

// unknownCommit reports whether an error in answer to COMMIT leaves open what became of it. Only an ordinary ERROR is a
// clear no; FATAL may come after the change was made.
func unknownCommit(err error) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return true
	}
	return answer.Severity != "ERROR" || answer.Code == completionUnknown || strings.HasPrefix(answer.Code, "08")
}

func isCode(err error, codes ...string) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	for _, c := range codes {
		if answer.Code == c {
			return true
		}
	}
	return false
}
