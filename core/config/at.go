package config

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Kind is what stands at a place.
type Kind int

// The kinds. Null is "key:" with nothing behind it, or ~.
const (
	Absent Kind = iota
	Null
	Text
	Bool
	Int
	Scalar // any other: a float, a date
	List
	Mapping
)

// At is a place in the file. The zero value is a key that is absent, which every method of Reader takes in silence.
type At struct {
	node *yaml.Node
	key  string
}

// Present reports whether there is something at the place, be it right or wrong.
func (a At) Present() bool { return a.node != nil }

// Key is the name of the place: services.storage.rules[0].paths.
func (a At) Key() string { return a.key }

// Line counts from 1; 0 for an absent place.
func (a At) Line() int {
	if a.node == nil {
		return 0
	}
	return a.node.Line
}

// Kind says what stands there.
func (a At) Kind() Kind {
	if a.node == nil {
		return Absent
	}
	switch a.node.Kind {
	case yaml.SequenceNode:
		return List
	case yaml.MappingNode:
		return Mapping
	case yaml.ScalarNode:
		return scalarKind(a.node.ShortTag())
	}
	return Scalar
}

func scalarKind(tag string) Kind {
	switch tag {
	case "!!str":
		return Text
	case "!!bool":
		return Bool
	case "!!int":
		return Int
	case "!!null":
		return Null
	}
	return Scalar
}

// Raw is a scalar as it was written, without its quotes; "" for anything else.
func (a At) Raw() string {
	if a.node == nil || a.node.Kind != yaml.ScalarNode {
		return ""
	}
	return a.node.Value
}

// Len is the number of entries of a list or mapping.
func (a At) Len() int {
	switch a.Kind() {
	case List:
		return len(a.node.Content)
	case Mapping:
		return len(a.node.Content) / 2
	}
	return 0
}

func (a At) in(key string, n *yaml.Node) At {
	if a.key != "" {
		key = a.key + "." + key
	}
	return At{n, key}
}

func (a At) index(i int) At {
	return At{a.node.Content[i], fmt.Sprintf("%s[%d]", a.key, i)}
}
