// SPDX-License-Identifier: MIT

package lfi_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/liblfi/lfi/bindings/go"
)

// Any bytes are loaded or refused; what is loaded confines itself.
func FuzzLoad(f *testing.F) {
	good := image(f, filepath.Join(scenarios, "library.c"))
	f.Add(uint32(0), []byte{})
	f.Add(uint32(18), []byte{0xb7, 0})                        // another machine
	f.Add(uint32(codeOf(f, good)), []byte("\x48\x8b\x00"))    // an instruction that is not sandboxed
	f.Add(uint32(24), bytes.Repeat([]byte{0xff}, 64))         // addresses in the header
	f.Add(uint32(64), bytes.Repeat([]byte{0}, 56))            // a program header
	f.Add(uint32(len(good)), bytes.Repeat([]byte{0x41}, 100)) // more at the end
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		data := append([]byte(nil), good...)
		if len(patch) > 4096 {
			return
		}
		if n := int(at) % (len(data) + 1); n+len(patch) <= len(data) {
			copy(data[n:], patch)
		} else {
			data = append(data[:n], patch...)
		}
		l, err := lfi.Load(data, lfi.Timeout(1e9), lfi.Output(nil, nil), lfi.WithLimits(lfi.Limits{Memory: 64 << 20}))
		if err != nil {
			return
		}
		if f, err := lfi.Func0[int32](l, "count"); err == nil {
			if _, err := f.Call(); errors.Is(err, lfi.ErrBusy) {
				t.Error(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What goes into a sandbox comes out as it was.
func FuzzMarshalling(f *testing.F) {
	l := library(f)
	length := must(lfi.Func1[uint64, string](l, "length"))
	same64 := must(lfi.Func1[int64, int64](l, "same64"))
	mirror := must(lfi.Func1[point, point](l, "mirror"))
	fill := must(lfi.Func3[lfi.Void, lfi.InOut, int, int32](l, "fill"))
	f.Add("text", int64(-1), int32(1), int32(2), []byte("bytes"))
	f.Add("", int64(1)<<62, int32(-1)<<30, int32(0), []byte{})
	f.Add("a\x00b", int64(0), int32(0), int32(0), []byte(nil))
	f.Fuzz(func(t *testing.T, s string, n int64, x, y int32, data []byte) {
		got, err := length.Call(s)
		switch {
		case strings.Contains(s, "\x00"):
			if !errors.Is(err, lfi.ErrInvalid) {
				t.Error(err)
			}
		case err != nil || got != uint64(len(s)):
			t.Errorf("length(%q) = %d, %v", s, got, err)
		default:
			p := must(l.NewText(s))
			if back := must(l.Text(p)); back != s {
				t.Errorf("%q became %q", s, back)
			}
			l.Free(p)
		}
		if got, err := same64.Call(n); got != n || err != nil {
			t.Errorf("same64(%d) = %d, %v", n, got, err)
		}
		if got, err := mirror.Call(point{x, y}); got != (point{y, x}) || err != nil {
			t.Errorf("mirror(%d, %d) = %v, %v", x, y, got, err)
		}
		p := must(lfi.NewSlice(l, data))
		if back := must(l.Bytes(p, len(data))); !bytes.Equal(back, data) {
			t.Errorf("%v became %v", data, back)
		}
		l.Free(p)
		if _, err := fill.Call(data, len(data), x); err != nil && len(data) > 0 {
			t.Error(err)
		}
		if want := bytes.Repeat([]byte{byte(x)}, len(data)); !bytes.Equal(data, want) {
			t.Errorf("fill(%d) left %v", x, data)
		}
	})
}

// Any text is a layout, or none.
func FuzzLayout(f *testing.F) {
	for _, seed := range []string{"{bl?f[2{hi}]}", "{", "[4i]", "{{{i}}}", "[9[9[9[9i]]]]", "{p[8b]d[3i]}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, c string) {
		if err := lfi.CheckLayout[padded](c); err != nil && !errors.Is(err, lfi.ErrSignature) {
			t.Error(err)
		}
	})
}

// Any address is readable, writable, callable, or an error.
func FuzzPointers(f *testing.F) {
	l := library(f)
	write := must(lfi.Func1[lfi.Void, lfi.Ptr](l, "write_to"))
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	for _, seed := range []uint64{0, 1, 1 << 32, 1<<32 - 1, 1 << 63, 0x7fff0000} {
		f.Add(seed, 8)
	}
	f.Fuzz(func(t *testing.T, at uint64, n int) {
		p := lfi.Ptr(at)
		if n < 0 || n > 1<<20 {
			n %= 1 << 20
		}
		for _, err := range []error{
			apart(l.Bytes(p, n)), apart(l.Text(p)), apart(lfi.Get[padded](l, p)),
			l.View(p, n, func(memory []byte) error {
				if len(memory) != n {
					t.Errorf("a view of %d bytes has %d", n, len(memory))
				}
				return nil
			}),
		} {
			if err != nil && !errors.Is(err, lfi.ErrAccess) && !errors.Is(err, lfi.ErrInvalid) {
				t.Error(err)
			}
		}
		for _, err := range []error{apart(write.Call(p)), apart(apply.Call(p, 1))} {
			if err != nil && !errors.Is(err, lfi.ErrFault) && !errors.Is(err, lfi.ErrInterrupted) {
				t.Error(err)
			}
		}
	})
}
