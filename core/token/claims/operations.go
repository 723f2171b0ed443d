package claims

import "slices"

// Operations returns the names that Allow knows in profile p, nil where the profile defines no capabilities. In both
// profiles that do, an operation has the name of the scope that grants it.
func Operations(p Profile) []string {
	switch p {
	case WLCG:
		return []string{
			"storage.read", "storage.create", "storage.modify", "storage.stage", "storage.poll",
			"compute.read", "compute.modify", "compute.create", "compute.cancel", "host.auth",
		}
	case SciTokens:
		return []string{"read", "write", "queue", "execute"}
	}
	return nil
}

// OnPath reports whether operation, one of Operations(p), is done on a path.
func OnPath(p Profile, operation string) bool {
	return slices.Contains(Operations(p), operation) && takesPath(p, operation)
}
