// SPDX-License-Identifier: MIT

package main

// #include "qoi.h"
import "C"

import "errors"

// native decodes in the process itself, as one would without a sandbox: for comparison. A malicious image owns the server.
func native(data []byte, use func(width, height int, pixels []byte) error) error {
	if len(data) < headerSize {
		return errImage
	}
	out := make([]byte, roomFor(data))
	var size [2]C.uint32_t
	n := C.qoi_decode((*C.uint8_t)(&data[0]), C.size_t(len(data)), (*C.uint8_t)(&out[0]), C.size_t(len(out)), &size[0])
	if n < 0 || int(n) > len(out) {
		return errImage
	}
	return use(int(size[0]), int(size[1]), out[:n])
}

var errImage = errors.New("not an image")
