// SPDX-License-Identifier: MIT

package lfi_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"github.com/liblfi/lfi/bindings/go"
)

// compiled stands for os.ReadFile of what lfi-cc has made of tests/scenarios/library.c.
func compiled() []byte { return image(exampleTB{}, filepath.Join(scenarios, "library.c")) }

// exampleTB lets examples use what tests use.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                   {}
func (exampleTB) Fatal(args ...any)         { panic(fmt.Sprint(args...)) }
func (exampleTB) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (exampleTB) Skipf(f string, a ...any)  { panic(fmt.Sprintf(f, a...)) }

func Example() {
	lib, err := lfi.Load(compiled())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lib.Close()

	// int add(int a, int b);
	add, err := lfi.Func2[int32, int32, int32](lib, "add")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(add.Call(2, 40))

	// int divide(int a, int b);
	divide, err := lfi.Func2[int32, int32, int32](lib, "divide")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = divide.Call(1, 0)
	var fault *lfi.FaultError
	if errors.As(err, &fault) {
		fmt.Println(fault.Kind, "in", fault.Symbol)
	}
	// Output:
	// 42 <nil>
	// arithmetic in divide
}

func ExampleFn2_CallContext() {
	lib, _ := lfi.Load(compiled())
	defer lib.Close()
	spin, _ := lfi.Func0[lfi.Void](lib, "spin") // void spin(void): for ever

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err := spin.CallContext(ctx)
	fmt.Println(errors.Is(err, lfi.ErrDeadline), errors.Is(err, context.DeadlineExceeded))
	// Output: true true
}

func ExampleFunc1_struct() {
	type point struct{ X, Y int32 }
	lib, _ := lfi.Load(compiled())
	defer lib.Close()

	// struct point { int x, y; }; struct point mirror(struct point p);
	mirror, _ := lfi.Func1[point, point](lib, "mirror")
	fmt.Println(mirror.Call(point{1, 2}))
	// Output: {2 1} <nil>
}

func ExampleFunc1_text() {
	lib, _ := lfi.Load(compiled())
	defer lib.Close()
	length, _ := lfi.Func1[int32, string](lib, "length") // int length(const char *text);
	greeting, _ := lfi.Func0[string](lib, "greeting")    // const char *greeting(void);
	fmt.Println(length.Call("seven c"))
	fmt.Println(greeting.Call())
	// Output:
	// 7 <nil>
	// hello from the sandbox <nil>
}

func ExampleFuncN() {
	lib, _ := lfi.Load(compiled())
	defer lib.Close()
	many, _ := lfi.FuncN[int32, [10]int32](lib, "many") // int many(int a, … ten of them)
	fmt.Println(many.Call([10]int32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}))
	// Output: 385 <nil>
}

func ExampleLibrary_Callback() {
	lib, _ := lfi.Load(compiled())
	defer lib.Close()

	twice, _ := lib.Callback(func(x int32) int32 { return 2 * x })
	apply, _ := lfi.Func2[int32, lfi.Ptr, int32](lib, "apply") // int apply(int (*f)(int), int x): f(x) + 1
	fmt.Println(apply.Call(twice, 20))
	// Output: 41 <nil>
}

func ExampleLibrary_View() {
	lib, _ := lfi.Load(compiled())
	defer lib.Close()
	p, _ := lib.Alloc(1 << 20)
	defer lib.Free(p)
	err := lib.View(p, 1<<20, func(memory []byte) error {
		memory[0] = 42 // no copy: the sandbox sees it at once
		return nil
	})
	first, _ := lib.Bytes(p, 1)
	fmt.Println(first, err)
	// Output: [42] <nil>
}

func ExampleGet() {
	type point struct{ X, Y int32 }
	if err := lfi.CheckLayout[point]("{ii}"); err != nil { // struct point { int x, y; }
		fmt.Println(err)
	}
	lib, _ := lfi.Load(compiled())
	defer lib.Close()
	p, _ := lfi.New(lib, point{1, 2})
	fmt.Println(lfi.Get[point](lib, p))
	// Output: {1 2} <nil>
}

func ExamplePool() {
	pool, err := lfi.NewPool(compiled(), 4, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	var all []int
	for i := 0; i < 3; i++ {
		pool.Do(context.Background(), func(lib *lfi.Library) error {
			count, _ := lfi.Func0[int32](lib, "count") // counts its calls
			n, err := count.Call()
			all = append(all, int(n))
			return err
		})
	}
	sort.Ints(all)
	fmt.Println(all) // each job had a fresh sandbox
	// Output: [1 1 1]
}

func ExampleVerifyError() {
	image := append([]byte(nil), compiled()...)
	copy(image[codeOf(exampleTB{}, image):], "\x48\x8b\x00") // mov (%rax), %rax
	_, err := lfi.Load(image)
	var refused *lfi.VerifyError
	if errors.As(err, &refused) {
		fmt.Println(refused.Instruction, "breaks the rule", refused.Rule)
	}
	// Output: mov (%rax), %rax breaks the rule memory
}
