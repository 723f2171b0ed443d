// Package limit bounds how often something may happen for each of many keys: requests of an address, uses of a token,
// guesses at a password.
//
// A key has a bucket that is refilled steadily and holds a burst. The number of buckets is bounded: the one that was
// not asked for longest gives way, so that a flood of new keys costs no more memory than was set aside. Addresses are
// keys by [Address]: one person has a whole network of IPv6.
//
// It counts in one process; servers behind a load balancer each have their own buckets. It does not know HTTP.
//
// Not a public API.
package limit
