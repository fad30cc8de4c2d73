// SPDX-License-Identifier: MIT

package lfi_test

import (
	"errors"
	"testing"

	"github.com/liblfi/lfi/bindings/go"
)

func TestTheSandboxCallsGo(t *testing.T) {
	l := library(t)
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	for name, twice := range map[string]lfi.Ptr{
		"generic":   must(lfi.Callback1(l, func(x int32) int32 { return 2 * x })),
		"reflected": must(l.Callback(func(x int32) int32 { return 2 * x })),
		"with its library": must(l.Callback(func(self *lfi.Library, x int32) int32 {
			add := must(lfi.Func2[int32, int32, int32](self, "add"))
			return must(add.Call(x, x))
		})),
	} {
		if got := must(apply.Call(twice, 20)); got != 41 {
			t.Errorf("%s: %d", name, got)
		}
	}
}

type fromSandbox struct {
	Next lfi.Ptr
	Name [8]byte
	W    float64
	Ints [3]int32
}

func TestCallbacksGetStructs(t *testing.T) {
	l := library(t)
	if err := lfi.CheckLayout[fromSandbox]("{p[8b]d[3i]}"); err != nil {
		t.Fatal(err)
	}
	apply := must(lfi.Func2[float64, lfi.Ptr, int32](l, "apply_node"))
	seen := point{}
	f := must(lfi.Callback3(l, func(node lfi.Ptr, p point, color int32) float64 {
		seen = p
		return must(lfi.Get[fromSandbox](l, node)).W + float64(color)
	}))
	if got := must(apply.Call(f, 3)); got == 0 || seen == (point{}) {
		t.Errorf("%v, %v", got, seen)
	}
}

func TestAPanicInACallbackComesOutOfTheCall(t *testing.T) {
	l := library(t)
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	mine := errors.New("mine")
	fails := must(lfi.Callback1(l, func(int32) int32 { panic(mine) }))
	twice := must(lfi.Callback1(l, func(x int32) int32 { return 2 * x }))
	nested := must(lfi.Callback1(l, func(x int32) int32 {
		defer func() {
			if got := recover(); got != mine {
				t.Errorf("nested: recovered %v", got)
			}
		}()
		must(apply.Call(fails, x))
		t.Error("the nested call returned")
		return 0
	}))
	for i := 0; i < 100; i++ {
		func() {
			defer func() {
				if got := recover(); got != mine {
					t.Errorf("recovered %v", got)
				}
			}()
			must(apply.Call(fails, 1))
			t.Error("the call returned")
		}()
		must(apply.Call(nested, 1))
		if must(apply.Call(twice, 20)) != 41 {
			t.Fatal("the sandbox is of no use any more")
		}
	}
}

func TestACallbackThatWasTakenBackFaults(t *testing.T) {
	l := library(t)
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	twice := must(lfi.Callback1(l, func(x int32) int32 { return 2 * x }))
	if err := l.Uncallback(twice); err != nil {
		t.Fatal(err)
	}
	if _, err := apply.Call(twice, 1); !errors.Is(err, lfi.ErrFault) {
		t.Error(err)
	}
	if err := l.Uncallback(twice); !errors.Is(err, lfi.ErrNotFound) {
		t.Error(err)
	}
}

func TestCallsFromThreadsOfTheSandbox(t *testing.T) {
	l := library(t)
	in := must(lfi.Func2[int32, lfi.Ptr, int32](l, "in_thread"))
	twice := must(lfi.Callback1(l, func(x int32) int32 { return 2 * x }))
	if got := must(in.Call(twice, 21)); got != 42 {
		t.Error(got)
	}
}

func TestWhatNoCallbackCanBe(t *testing.T) {
	l := library(t)
	for _, f := range []any{nil, 1, (func())(nil), func(...int32) {}, func() (int, int) { return 0, 0 }} {
		if _, err := l.Callback(f); !errors.Is(err, lfi.ErrInvalid) {
			t.Errorf("%T: %v", f, err)
		}
	}
	for _, f := range []any{func(string) {}, func() string { return "" }, func([]byte) {}, func(map[int]int) {},
		func(*int) {}, func(any) {}, func([4]int32) {}, func(chan int) {}} {
		if _, err := l.Callback(f); !errors.Is(err, lfi.ErrSignature) {
			t.Errorf("%T: %v", f, err)
		}
	}
	if _, err := lfi.Callback0[int32](l, nil); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
}
