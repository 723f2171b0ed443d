// Package sorted sorts lists of large values without a copy of the sorting code for each type of them, which
// slices.SortFunc makes: 12 to 25 KB in the program for every one. It is for lists of some thousand at most, where no
// time is to be lost; who sorts much takes package slices.
//
// Not a public API.
package sorted

import "sort"

// By sorts list by compare, which is as for slices.SortFunc, and keeps the order of those that are equal.
func By[T any](list []T, compare func(a, b T) int) { sort.Stable(by[T]{list, compare}) }

type by[T any] struct {
	list    []T
	compare func(a, b T) int
}

func (b by[T]) Len() int           { return len(b.list) }
func (b by[T]) Less(i, j int) bool { return b.compare(b.list[i], b.list[j]) < 0 }
func (b by[T]) Swap(i, j int)      { b.list[i], b.list[j] = b.list[j], b.list[i] }
