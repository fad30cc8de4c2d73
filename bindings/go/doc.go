// SPDX-License-Identifier: MIT

// Package lfi runs C code that is not trusted, in sandboxes in the process itself.
package lfi

//go:generate go run gen.go
//go:generate gofmt -w func_gen.go
