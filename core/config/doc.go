// Package config reads configuration files: one YAML document, strictly, with all that is wrong said at once, each
// fault with its line and key.
//
// A [Reader] turns text into the document's top, an [At]; its methods read values of a type from a place, and collect
// what is wrong on the way. Nothing stops before the end: a value that is wrong becomes its fallback, and [Reader.Err]
// says so. What YAML has and a configuration has no use for is refused: anchors, aliases, merge keys, tags, a second
// document, keys that are there twice or are not text, keys nobody knows. Size, depth and number are bounded.
//
// A secret never stands in such a file: the file names another one ([Reader.SecretFile]).
//
// It knows no role's keys and no environment, expands no variables and includes no files.
//
// Standards: YAML 1.2.
//
// Not a public API.
package config
