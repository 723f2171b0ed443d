package policy

import "github.com/oidcbox/oidcbox/core/config"

// Fault is one thing that is wrong with a policy file.
type Fault = config.Fault

// Faults is the error of Parse: all that is wrong, in the order of the lines.
type Faults = config.Faults

// Bounds of a policy file.
const (
	// MaxSize is how many bytes it may have.
	MaxSize  = config.MaxSize
	maxDepth = 32 // of levels that name levels
)
