// SPDX-License-Identifier: MIT

//go:build !lfi_system

package cabi

// The flags are those of the project's own build, with what is shipped: -O2 -DNDEBUG.

/*
#cgo CFLAGS: -std=gnu17 -D_GNU_SOURCE -DNDEBUG -O2 -g
#cgo CFLAGS: -Wall -Wextra -Wno-unused-parameter
#cgo CFLAGS: -fvisibility=hidden -fno-common -fstack-protector-strong
#cgo LDFLAGS: -pthread
*/
import "C"
