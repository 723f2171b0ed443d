package custody

import (
	"fmt"
	"time"
)

// Habit is what a provider does with a refresh token that was used.
type Habit int

// Habits. A login starts with HabitUnknown, which is treated as HabitRotates.
const (
	HabitUnknown Habit = iota
	HabitRotates
	HabitKeeps
)

// String returns "unknown", "rotates" or "keeps".
func (h Habit) String() string {
	switch h {
	case HabitUnknown:
		return "unknown"
	case HabitRotates:
		return "rotates"
	case HabitKeeps:
		return "keeps"
	default:
		return fmt.Sprintf("habit %d", int(h))
	}
}

// State describes a login without its secrets.
type State struct {
	Habit Habit
	// Pending is set while the outcome of a refresh is not known: one is running, or the process that ran it died, or
	// the provider's answer did not arrive. The next Refresh settles it.
	Pending *Intent
	// LastRefresh is when the provider last answered a refresh with tokens, zero if never. With HabitKeeps it is kept
	// to the minute.
	LastRefresh time.Time
	// NeedsLogin says that the provider refused the refresh token, if only for one kind of request; Reason is what it
	// said.
	NeedsLogin bool
	Reason     string
	RefusedAt  time.Time
	// Generation grows each time the refresh token changes.
	Generation uint64
	// Unsaved says that the newest refresh token is in the memory of this process only, because saving failed.
	Unsaved bool
	// TokenID names the current refresh token as in logs.
	TokenID string
	// TokenExpires is the end that the current refresh token says of itself, zero where it says nothing. The provider may
	// see it differently.
	TokenExpires time.Time
}

// Intent is the record of a refresh token about to be sent.
type Intent struct {
	TokenID string    // names the refresh token as in logs
	At      time.Time // when the last attempt began
	Attempt int       // 1 for the first
}

// Login is a row of List.
type Login struct {
	ID    string
	State State
}
