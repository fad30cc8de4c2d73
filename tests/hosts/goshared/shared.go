// SPDX-License-Identifier: MIT

// A library in Go, whose runtime comes into a process that has sandboxes: see ../after.c.
package main

import "C"

import (
	"runtime"
	"strings"
)

type node struct{ next *node }

// go_check is 1 when a nil dereference is a panic of Go's.
//
//export go_check
func go_check() (result C.int) {
	defer func() {
		err, ok := recover().(runtime.Error)
		if ok && strings.Contains(err.Error(), "nil pointer dereference") {
			result = 1
		}
	}()
	var n *node
	n = n.next
	return 0
}

func main() {}
