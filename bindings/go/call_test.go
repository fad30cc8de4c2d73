// SPDX-License-Identifier: MIT

package lfi_test

import (
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/liblfi/lfi/bindings/go"
)

type point struct{ X, Y int32 }

type large struct{ Values [8]int64 }

func TestScalarsGoInAndComeOut(t *testing.T) {
	l := library(t)
	add := must(lfi.Func2[int32, int32, int32](l, "add"))
	if got := must(add.Call(2, 40)); got != 42 {
		t.Errorf("2 + 40 = %d", got)
	}
	if got := must(add.Call(math.MaxInt32, 1)); got != math.MinInt32 {
		t.Errorf("it does not wrap: %d", got)
	}
	add8 := must(lfi.Func2[int8, int8, int8](l, "add8"))
	if got := must(add8.Call(-100, -100)); got != 56 {
		t.Errorf("add8: %d", got)
	}
	same16 := must(lfi.Func1[uint16, uint16](l, "same16"))
	if got := must(same16.Call(65535)); got != 65535 {
		t.Errorf("same16: %d", got)
	}
	same64 := must(lfi.Func1[int64, int](l, "same64"))
	if got := must(same64.Call(math.MinInt64)); got != math.MinInt64 {
		t.Errorf("same64: %d", got)
	}
	big := must(lfi.Func1[uint64, uint64](l, "big"))
	if got := must(big.Call(math.MaxUint64)); got != math.MaxUint64 {
		t.Errorf("big: %d", got)
	}
	negate := must(lfi.Func1[bool, bool](l, "negate"))
	if must(negate.Call(true)) || !must(negate.Call(false)) {
		t.Error("negate")
	}
	half := must(lfi.Func1[float32, float32](l, "half"))
	if got := must(half.Call(3)); got != 1.5 {
		t.Errorf("half: %v", got)
	}
}

func TestStructsGoByValue(t *testing.T) {
	l := library(t)
	mirror := must(lfi.Func1[point, point](l, "mirror"))
	if got := must(mirror.Call(point{1, 2})); got != (point{2, 1}) {
		t.Errorf("mirror: %v", got)
	}
	enlarge := must(lfi.Func1[large, large](l, "enlarge"))
	in := large{}
	for i := range in.Values {
		in.Values[i] = int64(i)
	}
	if got := must(enlarge.Call(in)); got == in || got.Values[7] == 0 {
		t.Errorf("enlarge: %v", got)
	}
}

func TestTextAndBytesAreCopied(t *testing.T) {
	l := library(t)
	length := must(lfi.Func1[uint64, string](l, "length"))
	for _, s := range []string{"", "x", "seven c", string(make([]byte, 0)), "a longer text with ümlauts"} {
		if got := must(length.Call(s)); got != uint64(len(s)) {
			t.Errorf("length(%q) = %d", s, got)
		}
	}
	if _, err := length.Call("a\x00b"); !errors.Is(err, lfi.ErrInvalid) {
		t.Errorf("a NUL in a string: %v", err)
	}
	fill := must(lfi.Func3[lfi.Void, lfi.InOut, int, int32](l, "fill"))
	data := make([]byte, 100)
	must(fill.Call(data, 100, 7))
	if data[0] != 7 || data[99] != 7 {
		t.Errorf("fill: %v", data)
	}
	keep := must(lfi.Func3[lfi.Void, []byte, int, int32](l, "fill"))
	must(keep.Call(data, 100, 8))
	if data[0] != 7 {
		t.Error("a plain []byte was changed")
	}
	if _, err := keep.Call(nil, 1, 8); !errors.Is(err, lfi.ErrFault) {
		t.Errorf("nil is no null pointer: %v", err)
	}
}

func TestScalarCallsAllocateNothing(t *testing.T) {
	l := library(t)
	add := must(lfi.Func2[int32, int32, int32](l, "add"))
	if n := testing.AllocsPerRun(100, func() { must(add.Call(1, 2)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFaultsSayWhatHappened(t *testing.T) {
	l := library(t)
	write := must(lfi.Func1[lfi.Void, lfi.Ptr](l, "write_to"))
	_, err := write.Call(0)
	var fault *lfi.FaultError
	if !errors.As(err, &fault) || !errors.Is(err, lfi.ErrFault) {
		t.Fatalf("%v is no fault", err)
	}
	if fault.Kind != "guard hit" || fault.Symbol != "write_to" || fault.Signal.String() != "segmentation fault" ||
		len(fault.Trace) == 0 || fault.Trace[0].Symbol != "write_to" || fault.Text == "" {
		t.Errorf("%+v", fault)
	}
	add := must(lfi.Func2[int32, int32, int32](l, "add"))
	if must(add.Call(1, 2)) != 3 {
		t.Error("the sandbox is of no use any more")
	}
}

func TestWhatACallCopiesInIsFreedAfterIt(t *testing.T) {
	runtime.LockOSThread() // another thread would have a stack of its own in the sandbox
	defer runtime.UnlockOSThread()
	l := library(t)
	length := must(lfi.Func1[uint64, string](l, "length"))
	text := strings.Repeat("x", 60000)
	must(length.Call(text))
	before := must(l.Usage()).Memory
	for i := 0; i < 200; i++ {
		must(length.Call(text))
	}
	if after := must(l.Usage()).Memory; after > before+1<<20 {
		t.Errorf("%d bytes are mapped, %d were before", after, before)
	}
}
