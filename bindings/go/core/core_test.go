// SPDX-License-Identifier: MIT

package core_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/liblfi/lfi/bindings/go"
	"github.com/liblfi/lfi/bindings/go/core"
)

func code(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

var (
	// movl $42, %eax; leaq 1f(%rip), %r11; jmpq *-8(%r14); 1: hlt
	systemCall = code("b82a000000 4c8d1d04000000 41ff66f8 f4")
	// leal (%rdi,%rsi), %eax; popq %rcx; andl $-32, %ecx; addq %r14, %rcx; jmpq *%rcx
	add = code("8d0437 59 83e1e0 4c01f1 ffe1")
	// movq %rdi, %rax; movl %esi, %edi; andl $-32, %eax; addq %r14, %rax; jmpq *%rax
	apply = code("4889f8 89f7 83e0e0 4c01f0 ffe0")
	// jmp to itself, in the middle of a bundle
	loop = code("ebfe")
)

func newBox(t testing.TB) *core.Box {
	t.Helper()
	engine, err := core.New(core.Options{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	box, err := engine.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(box.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	})
	return box
}

func put(t testing.TB, box *core.Box, code []byte) uint64 {
	t.Helper()
	page, err := box.Map(core.PageSize, core.Read|core.Write)
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Write(page, code); err != nil {
		t.Fatal(err)
	}
	if err := box.Protect(page, core.PageSize, core.Read|core.Exec); err != nil {
		t.Fatal(err)
	}
	return page
}

func newContext(t testing.TB, box *core.Box) *core.Context {
	t.Helper()
	stack, err := box.Map(65536, core.Read|core.Write)
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := box.NewContext()
	if err != nil {
		t.Fatal(err)
	}
	if err := ctx.SetRegs(core.Regs{RSP: stack + 65536}); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// The tutorial: a program that makes a system call, a function that is called, and one that calls Go.
func Example() {
	engine, err := core.New(core.Options{}, 1)
	if err != nil {
		panic(err)
	}
	defer engine.Close()
	box, err := engine.NewBox()
	if err != nil {
		panic(err)
	}
	defer box.Close()

	// Code is written, then made executable, which verifies it.
	load := func(code []byte) uint64 {
		page, _ := box.Map(core.PageSize, core.Read|core.Write)
		box.Write(page, code)
		if err := box.Protect(page, core.PageSize, core.Read|core.Exec); err != nil {
			panic(err)
		}
		return page
	}
	ctx, _ := box.NewContext()
	stack, _ := box.Map(core.PageSize, core.Read|core.Write)
	ctx.SetRegs(core.Regs{RSP: stack + core.PageSize})

	// A program with a runtime interface of our own: it runs until the handler exits.
	engine.SetHandler(func(ctx *core.Context) {
		regs, _ := ctx.Regs()
		fmt.Println("system call", regs.RAX)
		ctx.Exit(7)
	})
	status, err := ctx.Run(load(systemCall))
	fmt.Println(status, err)

	// A function, called by the host.
	sum, _ := box.Func(load(add), "i(ii)")
	fmt.Println(sum.Call(ctx, 10, 32))

	// A host function, called by the sandbox.
	double, _ := box.Register("i(i)", func(args []uint64) uint64 { return 2 * args[0] })
	call, _ := box.Func(load(apply), "i(pi)")
	fmt.Println(call.Call(ctx, double, 21))
	// Output:
	// system call 42
	// 7 <nil>
	// 42 <nil>
	// 42 <nil>
}

func TestARuntimeCallThatNothingServesIsAFault(t *testing.T) {
	box := newBox(t)
	_, err := newContext(t, box).Run(put(t, box, systemCall))
	var fault *lfi.FaultError
	if !errors.As(err, &fault) || fault.Kind != "unserved runtime call" {
		t.Error(err)
	}
}

func TestWhatAHandlerPanicsWithComesOut(t *testing.T) {
	engine, _ := core.New(core.Options{}, 1)
	defer engine.Close()
	box, _ := engine.NewBox()
	defer box.Close()
	ctx := newContext(t, box)
	engine.SetHandler(func(*core.Context) { panic("mine") })
	program, f := put(t, box, systemCall), put(t, box, apply)
	fails, _ := box.Register("i(i)", func([]uint64) uint64 { panic("mine") })
	call, _ := box.Func(f, "i(pi)")
	for name, run := range map[string]func(){
		"run":  func() { ctx.Run(program) },
		"call": func() { call.Call(ctx, fails, 1) },
	} {
		func() {
			defer func() {
				if got := recover(); got != "mine" {
					t.Errorf("%s: recovered %v", name, got)
				}
			}()
			run()
			t.Errorf("%s returned", name)
		}()
	}
	// And the context is as good as before.
	same, _ := box.Register("i(i)", func(args []uint64) uint64 { return args[0] })
	if got, err := call.Call(ctx, same, 5); got != 5 || err != nil {
		t.Error(got, err)
	}
}

func TestCodeThatDoesNotVerifyIsRefusedAndNamed(t *testing.T) {
	box := newBox(t)
	page, _ := box.Map(core.PageSize, core.Read|core.Write)
	box.Write(page, code("90 488b00"))
	err := box.Protect(page, core.PageSize, core.Read|core.Exec)
	var refused *lfi.VerifyError
	if !errors.As(err, &refused) || !errors.Is(err, lfi.ErrVerify) || refused.Instruction != "mov (%rax), %rax" ||
		refused.Offset != page&0xffffffff+1 {
		t.Fatalf("%+v", err)
	}
	one := make([]byte, 1)
	if err := box.Read(page, one); err != nil || !bytes.Equal(one, []byte{0x90}) {
		t.Error(one, err)
	}
}

func TestTheVerifierSaysWhichRule(t *testing.T) {
	whole := func(code []byte) []byte { return append(code, bytes.Repeat([]byte{0x90}, 32-len(code)%32)...) }
	if found, err := core.Verify(whole(append([]byte{}, add...)), 0, core.Options{}, 1); len(found) != 0 || err != nil {
		t.Error(found, err)
	}
	found, _ := core.Verify(whole(code("488b00")), 0, core.Options{}, 1)
	if len(found) != 1 || found[0].Rule != "memory" || found[0].Size != 3 {
		t.Errorf("%+v", found)
	}
	if found, _ := core.Verify(whole(code("c3c3c3")), 0, core.Options{}, 10); len(found) != 3 {
		t.Errorf("%+v", found)
	}
	if _, err := core.Verify(nil, 0, core.Options{}, 0); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
}

func TestALoopEndsWithItsContext(t *testing.T) {
	box := newBox(t)
	ctx, entry := newContext(t, box), put(t, box, loop)
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := ctx.RunContext(short, entry); !errors.Is(err, lfi.ErrDeadline) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	long, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := ctx.RunContext(long, entry); !errors.Is(err, lfi.ErrInterrupted) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWhatIsInUseIsBusy(t *testing.T) {
	box := newBox(t)
	ctx := newContext(t, box)
	inside, leave := make(chan bool), make(chan bool)
	wait, err := box.Register("i(i)", func(args []uint64) uint64 {
		inside <- true
		<-leave
		return args[0]
	})
	if err != nil {
		t.Fatal(err)
	}
	call, err := box.Func(put(t, box, apply), "i(pi)")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := call.Call(ctx, wait, 1)
		done <- err
	}()
	<-inside
	_, again := call.Call(ctx, wait, 1)
	for name, err := range map[string]error{"context": ctx.Close(), "box": box.Close(), "call": again} {
		if !errors.Is(err, lfi.ErrBusy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	leave <- true
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBadInputIsAnError(t *testing.T) {
	box := newBox(t)
	ctx := newContext(t, box)
	f, err := box.Func(put(t, box, add), "i(ii)")
	if err != nil {
		t.Fatal(err)
	}
	other := newBox(t)
	page, _ := box.Map(4096, core.Read)
	var noBox *core.Box
	var noContext *core.Context
	var noEngine *core.Engine
	var nilContext context.Context
	second := func(_ any, err error) error { return err }
	for name, row := range map[string]struct{ got, want error }{
		"no boxes":            {second(core.New(core.Options{}, 0)), lfi.ErrInvalid},
		"a bundle":            {second(core.New(core.Options{Bundle: 7}, 1)), lfi.ErrInvalid},
		"a negative bundle":   {second(core.New(core.Options{Bundle: -32}, 1)), lfi.ErrInvalid},
		"nil engine":          {second(noEngine.NewBox()), lfi.ErrClosed},
		"nil box":             {second(noBox.Map(1, core.Read)), lfi.ErrClosed},
		"nil context":         {second(noContext.Run(0)), lfi.ErrClosed},
		"map nothing":         {second(box.Map(0, core.Read)), lfi.ErrInvalid},
		"map too much":        {second(box.Map(1<<40, core.Read)), lfi.ErrNoMemory},
		"write and exec":      {second(box.Map(4096, core.Write|core.Exec)), lfi.ErrInvalid},
		"a signature":         {second(box.Func(page, "i(")), lfi.ErrSignature},
		"a struct":            {second(box.Func(0x10000, "i({ii})")), lfi.ErrSignature},
		"an address":          {second(box.Func(1<<60, "i()")), lfi.ErrAccess},
		"too few arguments":   {second(f.Call(ctx, 1)), lfi.ErrInvalid},
		"another box":         {second(f.Call(newContext(t, other), 1, 2)), lfi.ErrInvalid},
		"no context":          {second(f.Call(nil, 1, 2)), lfi.ErrClosed},
		"nil function":        {second(box.Register("i()", nil)), lfi.ErrInvalid},
		"read far away":       {box.Read(1<<60, make([]byte, 8)), lfi.ErrAccess},
		"read what is not":    {box.Read(0x7fff0000, make([]byte, 8)), lfi.ErrAccess},
		"run far away":        {second(ctx.Run(1 << 60)), lfi.ErrAccess},
		"nil context.Context": {second(ctx.RunContext(nilContext, 0)), lfi.ErrInvalid},
	} {
		if !errors.Is(row.got, row.want) {
			t.Errorf("%s: %v", name, row.got)
		}
	}
}

func TestWhatIsClosedStaysClosed(t *testing.T) {
	engine, _ := core.New(core.Options{}, 1)
	box, _ := engine.NewBox()
	ctx := newContext(t, box)
	f, _ := box.Func(put(t, box, add), "i(ii)")
	if err := engine.Close(); !errors.Is(err, lfi.ErrBusy) {
		t.Error(err)
	}
	if err := ctx.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Call(ctx, 1, 2); !errors.Is(err, lfi.ErrClosed) {
		t.Error(err)
	}
	for i := 0; i < 2; i++ {
		if err := errors.Join(ctx.Close(), box.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
	}
	if _, err := ctx.Regs(); !errors.Is(err, lfi.ErrClosed) {
		t.Error(err)
	}
	if _, err := box.Map(4096, core.Read); !errors.Is(err, lfi.ErrClosed) {
		t.Error(err)
	}
	if _, err := engine.NewBox(); !errors.Is(err, lfi.ErrClosed) {
		t.Error(err)
	}
}
