// SPDX-License-Identifier: MIT

//go:build lfi_system

package cabi

/*
#cgo CFLAGS: -std=gnu17 -D_GNU_SOURCE -DLFI_GO_SYSTEM -O2 -g -Wall -Wextra
#cgo pkg-config: lfi
#cgo LDFLAGS: -pthread
*/
import "C"
