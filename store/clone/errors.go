package clone

import (
	"errors"
	"fmt"
)

var (
	// ErrNotEmpty is returned for a target that holds records of its own. Nothing was changed.
	ErrNotEmpty = errors.New("the store to copy to is not empty")
	// ErrNoSource is returned for a source without the record that the mark stands for, or that is half a copy itself.
	ErrNoSource = errors.New("there is nothing whole to copy")
)

// DifferError is returned when source and target are not the same after the copy: somebody has changed one of them
// meanwhile. The target keeps its mark.
type DifferError struct {
	Table string
	// From and To are how many records of the table were compared until they differed.
	From, To int64
}

func (e *DifferError) Error() string {
	return fmt.Sprintf("table %q differs after %d records: was the store in use while it was copied?", e.Table, min(e.From, e.To))
}
