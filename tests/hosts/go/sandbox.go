// SPDX-License-Identifier: MIT

// Package hosts lets Go call the sandbox of ../sandbox.c. The flags for cgo come from the environment.
package hosts

/*
#cgo LDFLAGS: -llfitestsandbox
#include "sandbox.h"
*/
import "C"

import (
	"errors"
	"fmt"
)

// Faults is the number of kinds for Fault.
const Faults = C.SANDBOX_FAULTS

// Open makes the engine and the box.
func Open() error {
	if C.sandbox_open() != 0 {
		return errors.New(C.GoString(C.sandbox_error()))
	}
	return nil
}

// Fault has a function of the sandbox trap; nil when that was told as it should be.
func Fault(kind int) error {
	if C.sandbox_fault(C.int(kind)) != 0 {
		return fmt.Errorf("kind %d is not the fault that it should be", kind)
	}
	return nil
}

// Add adds in the sandbox.
func Add(a, b int) int {
	return int(C.sandbox_add(C.int(a), C.int(b)))
}

// Spin is in the sandbox until Stop.
func Spin() error {
	if C.sandbox_spin() != 0 {
		return errors.New("the loop has failed")
	}
	return nil
}

// Stop ends Spin.
func Stop() {
	C.sandbox_stop()
}

// CrashHost faults in C code of the host.
func CrashHost() {
	C.sandbox_crash_host()
}
