// SPDX-License-Identifier: MIT

package lfi_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/liblfi/lfi/bindings/go"
)

func TestMemoryIsZeroedAndComesBack(t *testing.T) {
	l := library(t)
	for _, size := range []int{0, 1, 15, 16, 17, 4096, 65535, 65536, 65537, 1 << 20} {
		p := must(l.Alloc(size))
		if p == 0 || p%16 != 0 {
			t.Errorf("Alloc(%d) = %#x", size, p)
		}
		if got := must(l.Bytes(p, size)); !bytes.Equal(got, make([]byte, size)) {
			t.Errorf("Alloc(%d) is not zeroed", size)
		}
		if err := l.Write(p, bytes.Repeat([]byte{7}, size)); err != nil {
			t.Error(err)
		}
		if err := l.Free(p); err != nil {
			t.Error(err)
		}
		if err := l.Free(p); !errors.Is(err, lfi.ErrInvalid) {
			t.Errorf("freed twice: %v", err)
		}
		if again := must(l.Alloc(size)); again != p || !bytes.Equal(must(l.Bytes(p, size)), make([]byte, size)) {
			t.Errorf("Alloc(%d) again = %#x, not zeroed %#x", size, again, p)
		}
	}
	for _, size := range []int{-1, math.MinInt, math.MaxInt, 1 << 32} {
		if _, err := l.Alloc(size); !errors.Is(err, lfi.ErrNoMemory) {
			t.Errorf("Alloc(%d): %v", size, err)
		}
	}
}

func TestPointersAreChecked(t *testing.T) {
	l := library(t)
	p := must(l.Alloc(16))
	for name, err := range map[string]error{
		"null":          l.Read(0, make([]byte, 1)),
		"not mapped":    apart(l.Bytes(0x7fff0000, 8)),
		"beyond":        apart(l.Bytes(0xfffffff8, 16)),
		"negative":      apart(l.Bytes(p, -1)),
		"huge":          apart(l.Bytes(p, math.MaxInt)),
		"4 GiB":         apart(l.Bytes(0, 1<<32)),
		"far away":      l.Write(1<<50, []byte{1}),
		"a view":        l.View(0x7fff0000, 8, nil),
		"a huge view":   l.View(p, math.MaxInt, nil),
		"text":          apart(l.Text(0x7fff0000)),
		"a value":       apart(lfi.Get[int64](l, 0x7fff0000)),
		"code":          l.Write(must(l.Symbol("add")), []byte{1}),
		"a huge string": apart(l.Text(must(lfi.NewSlice(l, bytes.Repeat([]byte{'x'}, 2<<20))))),
	} {
		if !errors.Is(err, lfi.ErrAccess) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAViewIsTheMemoryItself(t *testing.T) {
	l := library(t)
	fill := must(lfi.Func3[lfi.Void, lfi.Ptr, int, int32](l, "fill"))
	unmap := must(lfi.Func2[int32, lfi.Ptr, int](l, "unmap"))
	p := must(l.Alloc(1 << 20))
	mine := errors.New("mine")
	err := l.View(p, 1<<20, func(memory []byte) error {
		must(fill.Call(p, 1<<20, 7))
		if len(memory) != 1<<20 || memory[0] != 7 || memory[1<<20-1] != 7 {
			t.Error("the view does not show what the sandbox wrote")
		}
		memory[5] = 9
		if must(l.Bytes(p, 6))[5] != 9 {
			t.Error("the sandbox does not see what the host wrote")
		}
		if must(unmap.Call(p, 1<<20)) == 0 || memory[0] != 7 {
			t.Error("the sandbox unmapped memory that is viewed")
		}
		if err := l.Close(); !errors.Is(err, lfi.ErrBusy) {
			t.Errorf("closed while it is viewed: %v", err)
		}
		return mine
	})
	if err != mine {
		t.Error(err)
	}
	if must(unmap.Call(p, 1<<20)) != 0 {
		t.Error("the view is over, but the memory is still pinned")
	}
	if err := l.View(p, 0, func(memory []byte) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestTextGoesInAndOut(t *testing.T) {
	l := library(t)
	for _, s := range []string{"", "text", strings.Repeat("x", 255), strings.Repeat("y", 256), strings.Repeat("z", 1<<20)} {
		p := must(l.NewText(s))
		if got := must(l.Text(p)); got != s {
			t.Errorf("%d bytes became %d", len(s), len(got))
		}
		if err := l.Free(p); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.NewText("a\x00b"); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
}

func TestValuesGoInAndOut(t *testing.T) {
	l := library(t)
	in := fromSandbox{5, [8]byte{'n'}, 2.5, [3]int32{1, 2, 3}}
	p := must(lfi.New(l, in))
	if got := must(lfi.Get[fromSandbox](l, p)); got != in {
		t.Errorf("%v", got)
	}
	in.W = 3
	if err := lfi.Set(l, p, in); err != nil || must(lfi.Get[fromSandbox](l, p)) != in {
		t.Error(err)
	}
	norm := must(lfi.Func2[float64, lfi.Ptr, int](l, "norm"))
	v := must(lfi.NewSlice(l, []float64{3, 4}))
	if got := must(norm.Call(v, 2)); got != 5 && got != 25 {
		t.Error(got)
	}
	out := make([]float64, 2)
	if err := lfi.GetSlice(l, v, out); err != nil || out[1] != 4 {
		t.Error(out, err)
	}
	// A bool of a hostile sandbox is one.
	p = must(lfi.NewSlice(l, []byte{2, 0, 255}))
	if got := must(lfi.Get[[3]bool](l, p)); got != [3]bool{true, false, true} {
		t.Error(got)
	}
}

type padded struct {
	A int8
	B int64
	C bool
	D float32
	E [2]struct {
		F int16
		G int32
	}
}

func TestLayoutsAreCompared(t *testing.T) {
	if err := lfi.CheckLayout[padded]("{bl?f[2{hi}]}"); err != nil {
		t.Error(err)
	}
	if err := lfi.CheckLayout[padded]("{BL?f[2{HI}]}"); err != nil {
		t.Errorf("signs do not matter: %v", err)
	}
	for _, c := range []string{"", "{", "{}", "{bl?f[2{hi}}", "{bl?f[2{hi}]}i", "{bi?f[2{hi}]}", "{bl?i[2{hi}]}", "{bl?f[3{hi}]}",
		"{bl?f[2{hi}]b}", "{bl?f}", "[0i]", "[99999999999i]", strings.Repeat("{", 1000), "{bd?f[2{hi}]}", "{blbf[2{hi}]}", "\x00", "v"} {
		if err := lfi.CheckLayout[padded](c); !errors.Is(err, lfi.ErrSignature) {
			t.Errorf("%.40q: %v", c, err)
		}
	}
	if err := lfi.CheckLayout[map[int]int]("i"); !errors.Is(err, lfi.ErrSignature) {
		t.Error(err)
	}
}
