// SPDX-License-Identifier: MIT

//go:build !race

package lfi_test

const raceEnabled = false
