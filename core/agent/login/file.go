package login

// MaxFile bounds every file this package reads.
const MaxFile = 1 << 20
