// SPDX-License-Identifier: MIT

// Package bench compares calls into a sandbox with cgo calls of the same functions, and with wazero. It is a module of its
// own, so that the Go module itself depends on nothing. ./dev bench runs it, when the Go module proxy can be reached.
package bench

/*
int add(int a, int b);
int apply(int (*f)(int), int x);
int call_twice(int x);
*/
import "C"

func nativeAdd(a, b int32) int32 { return int32(C.add(C.int(a), C.int(b))) }

// nativeApply has C call goTwice.
func nativeApply(x int32) int32 { return int32(C.call_twice(C.int(x))) }

//export goTwice
func goTwice(x C.int) C.int { return 2 * x }
