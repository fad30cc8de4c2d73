// SPDX-License-Identifier: MIT

package bench

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/liblfi/lfi/bindings/go"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

var background = context.Background()

// compiled is tests/scenarios/library.c, compiled by the lfi-cc of LFI_BUILD.
func compiled(b *testing.B) []byte {
	b.Helper()
	out := filepath.Join(b.TempDir(), "library.lfi")
	compiler := filepath.Join(os.Getenv("LFI_BUILD"), "bin", "lfi-cc")
	said, err := exec.Command(compiler, "-O2", filepath.Join("..", "..", "tests", "scenarios", "library.c"), "-o", out).CombinedOutput()
	if err != nil {
		b.Skipf("no programs for the sandbox: LFI_BUILD is to name a build of lfi: %v %s", err, said)
	}
	data, err := os.ReadFile(out)
	check(b, err)
	return data
}

func check(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

func BenchmarkCall(b *testing.B) {
	b.Run("cgo", func(b *testing.B) {
		for i := 0; i < b.N; i++ {
			nativeAdd(1, 2)
		}
	})
	b.Run("lfi", func(b *testing.B) {
		lib, err := lfi.Load(compiled(b))
		check(b, err)
		defer lib.Close()
		add, err := lfi.Func2[int32, int32, int32](lib, "add")
		check(b, err)
		b.ReportAllocs()
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			if _, err := add.Call(1, 2); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("wazero", func(b *testing.B) {
		add := wasm(b).ExportedFunction("add")
		stack := make([]uint64, 2)
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			stack[0], stack[1] = 1, 2
			if err := add.CallWithStack(background, stack); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCallback(b *testing.B) {
	b.Run("cgo", func(b *testing.B) {
		for i := 0; i < b.N; i++ {
			nativeApply(20)
		}
	})
	b.Run("lfi", func(b *testing.B) {
		lib, err := lfi.Load(compiled(b))
		check(b, err)
		defer lib.Close()
		twice, err := lfi.Callback1(lib, func(x int32) int32 { return 2 * x })
		check(b, err)
		apply, err := lfi.Func2[int32, lfi.Ptr, int32](lib, "apply")
		check(b, err)
		b.ReportAllocs()
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			if n, err := apply.Call(twice, 20); err != nil || n != 41 {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("wazero", func(b *testing.B) {
		apply := wasm(b).ExportedFunction("apply")
		stack := make([]uint64, 1)
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			stack[0] = 20
			if err := apply.CallWithStack(background, stack); err != nil || stack[0] != 41 {
				b.Fatal(stack, err)
			}
		}
	})
}

// A call with text, and one with a deadline.
func BenchmarkOtherCalls(b *testing.B) {
	lib, err := lfi.Load(compiled(b))
	check(b, err)
	defer lib.Close()
	b.Run("text", func(b *testing.B) {
		length, err := lfi.Func1[int32, string](lib, "length")
		check(b, err)
		for i := 0; i < b.N; i++ {
			length.Call("seven c")
		}
	})
	b.Run("context", func(b *testing.B) {
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		add, err := lfi.Func2[int32, int32, int32](lib, "add")
		check(b, err)
		for i := 0; i < b.N; i++ {
			add.CallContext(ctx, 1, 2)
		}
	})
}

// Take, call, give: a fresh sandbox for each call. wazero instantiates a compiled module.
func BenchmarkFresh(b *testing.B) {
	b.Run("lfi", func(b *testing.B) {
		pool, err := lfi.NewPool(compiled(b), 4, nil)
		check(b, err)
		defer pool.Close()
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			lib, err := pool.Take(background)
			check(b, err)
			add, err := lfi.Func2[int32, int32, int32](lib, "add")
			check(b, err)
			if _, err := add.Call(1, 2); err != nil {
				b.Fatal(err)
			}
			check(b, pool.Give(lib))
		}
	})
	b.Run("wazero", func(b *testing.B) {
		runtime, compiled := wasmCompiled(b)
		b.ResetTimer()
		for i := 0; i < b.N; i++ {
			module, err := runtime.InstantiateModule(background, compiled, wazero.NewModuleConfig().WithName(""))
			check(b, err)
			if _, err := module.ExportedFunction("add").Call(background, 1, 2); err != nil {
				b.Fatal(err)
			}
			module.Close(background)
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	data := compiled(b)
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		lib, err := lfi.Load(data)
		check(b, err)
		lib.Close()
	}
}

// module is, as wasm:
//
//	(import "env" "f" (func $f (param i32) (result i32)))
//	(func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
//	(func (export "apply") (param i32) (result i32) local.get 0 call $f i32.const 1 i32.add)
var module = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x0c\x02\x60\x01\x7f\x01\x7f\x60\x02\x7f\x7f\x01\x7f" +
	"\x02\x09\x01\x03env\x01f\x00\x00" +
	"\x03\x03\x02\x01\x00" +
	"\x07\x0f\x02\x03add\x00\x01\x05apply\x00\x02" +
	"\x0a\x13\x02\x07\x00\x20\x00\x20\x01\x6a\x0b\x09\x00\x20\x00\x10\x00\x41\x01\x6a\x0b")

func wasmCompiled(b *testing.B) (wazero.Runtime, wazero.CompiledModule) {
	b.Helper()
	runtime := wazero.NewRuntimeWithConfig(background, wazero.NewRuntimeConfigCompiler())
	b.Cleanup(func() { runtime.Close(background) })
	twice := func(_ context.Context, stack []uint64) { stack[0] = uint64(2 * uint32(stack[0])) }
	_, err := runtime.NewHostModuleBuilder("env").NewFunctionBuilder().WithGoFunction(api.GoFunc(twice),
		[]api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).Export("f").Instantiate(background)
	check(b, err)
	compiled, err := runtime.CompileModule(background, module)
	check(b, err)
	return runtime, compiled
}

func wasm(b *testing.B) api.Module {
	b.Helper()
	runtime, compiled := wasmCompiled(b)
	made, err := runtime.InstantiateModule(background, compiled, wazero.NewModuleConfig())
	check(b, err)
	return made
}
