// SPDX-License-Identifier: MIT

package lfi

import (
	"bytes"
	"debug/elf"
	"io"

	"github.com/liblfi/lfi/bindings/go/internal/cabi"
)

// brokenRule is the name of the first rule that the code of a program breaks; "" when it cannot be told.
func brokenRule(image []byte, options cabi.EngineOptions) string {
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return ""
	}
	bundle := uint64(options.Bundle)
	if bundle == 0 {
		bundle = 32
	}
	for _, p := range file.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 || p.Filesz > uint64(len(image)) {
			continue
		}
		code, err := io.ReadAll(io.NewSectionReader(p, 0, int64(p.Filesz)))
		if err != nil {
			continue
		}
		code = code[:uint64(len(code))/bundle*bundle]
		for _, v := range cabi.Verify(code, p.Vaddr&0xffffffff/bundle*bundle, options, 1) {
			return v.Rule
		}
	}
	return ""
}
