package jose

import "math/big"

// rocaWeak reports whether the modulus has the mark of the RSALib fault (ROCA, CVE-2017-15361): its primes were powers
// of 65537 plus a multiple of a primorial, so the modulus is a power of 65537 modulo every small prime. A sound key
// passes for one with a probability of about 2 to the -27.
func rocaWeak(n *big.Int) bool {
	var rest, p big.Int
	for _, prime := range [...]int64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
		109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	} {
		if !powerOf65537(rest.Mod(n, p.SetInt64(prime)).Int64(), prime) {
			return false
		}
	}
	return true
}

// powerOf65537 reports whether rest is in the subgroup that 65537 generates modulo prime.
func powerOf65537(rest, prime int64) bool {
	power := int64(1)
	for range prime {
		if power == rest {
			return true
		}
		power = power * 65537 % prime
	}
	return false
}
