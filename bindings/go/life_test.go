// SPDX-License-Identifier: MIT

package lfi_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liblfi/lfi/bindings/go"
)

// apart gives the error of a call with a value.
func apart[T any](_ T, err error) error { return err }

// inside calls f while a call is in the library.
func inside(t *testing.T, l *lfi.Library, f func()) {
	t.Helper()
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	reached, leave := make(chan bool), make(chan bool)
	wait := must(lfi.Callback1(l, func(x int32) int32 {
		reached <- true
		<-leave
		return x
	}))
	done := make(chan error)
	go func() { done <- apart(apply.Call(wait, 1)) }()
	<-reached
	f()
	leave <- true
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAfterCloseEverythingIsErrClosed(t *testing.T) {
	l := library(t)
	add := must(lfi.Func2[int32, int32, int32](l, "add"))
	length := must(lfi.Func1[int, string](l, "length"))
	p := must(l.Alloc(16))
	f := must(l.Callback(func() {}))
	for i := 0; i < 2; i++ {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var none *lfi.Library
	for _, l := range []*lfi.Library{l, none, {}} {
		for name, err := range map[string]error{
			"Func":        apart(lfi.Func0[int32](l, "count")),
			"Alloc":       apart(l.Alloc(1)),
			"Free":        l.Free(p),
			"Bytes":       apart(l.Bytes(p, 1)),
			"Read":        l.Read(p, nil),
			"Write":       l.Write(p, nil),
			"View":        l.View(p, 1, func([]byte) error { return nil }),
			"Text":        apart(l.Text(p)),
			"NewText":     apart(l.NewText("")),
			"New":         apart(lfi.New(l, int32(1))),
			"Get":         apart(lfi.Get[int32](l, p)),
			"Set":         lfi.Set(l, p, int32(1)),
			"Callback":    apart(l.Callback(func() {})),
			"Callback0":   apart(lfi.Callback0(l, func() int32 { return 0 })),
			"Uncallback":  l.Uncallback(f),
			"Symbol":      apart(l.Symbol("add")),
			"Interrupt":   l.Interrupt(),
			"SetLimits":   l.SetLimits(lfi.Limits{Files: 3}),
			"Usage":       apart(l.Usage()),
			"call":        apart(add.Call(1, 2)),
			"callContext": apart(add.CallContext(background, 1, 2)),
			"call text":   apart(length.Call("x")),
		} {
			if !errors.Is(err, lfi.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !l.Closed() || l.Close() != nil || l.String() == "" {
			t.Error("closed, but not so")
		}
	}
}

func TestCloseWithCallsInsideIsErrBusy(t *testing.T) {
	l := library(t)
	inside(t, l, func() {
		if err := l.Close(); !errors.Is(err, lfi.ErrBusy) {
			t.Error(err)
		}
		add := must(lfi.Func2[int32, int32, int32](l, "add"))
		if n := must(add.Call(1, 2)); n != 3 {
			t.Error(n)
		}
	})
}

func TestCloseInACallbackIsErrBusy(t *testing.T) {
	l := library(t)
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	var err error
	f := must(lfi.Callback1(l, func(x int32) int32 {
		err = l.Close()
		return x
	}))
	if n := must(apply.Call(f, 1)); n != 2 || !errors.Is(err, lfi.ErrBusy) {
		t.Error(n, err)
	}
}

func TestGivingBackWithCallsInsideIsErrBusy(t *testing.T) {
	p := pool(t, 1, nil)
	l := must(p.Take(background))
	inside(t, l, func() {
		if err := p.Give(l); !errors.Is(err, lfi.ErrBusy) {
			t.Error(err)
		}
	})
	if err := p.Give(l); err != nil {
		t.Error(err)
	}
}

func TestAContextEndsACall(t *testing.T) {
	l := library(t)
	spin := must(lfi.Func0[lfi.Void](l, "spin"))
	short, cancel := context.WithTimeout(background, 20*time.Millisecond)
	defer cancel()
	err := apart(spin.CallContext(short))
	if !errors.Is(err, lfi.ErrDeadline) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	mine := errors.New("mine")
	long, cancelCause := context.WithCancelCause(background)
	time.AfterFunc(20*time.Millisecond, func() { cancelCause(mine) })
	err = apart(spin.CallContext(long))
	if !errors.Is(err, lfi.ErrInterrupted) || !errors.Is(err, context.Canceled) || !errors.Is(err, mine) {
		t.Error(err)
	}
	for _, over := range []context.Context{short, long} {
		err := apart(spin.CallContext(over))
		if !errors.Is(err, lfi.ErrInterrupted) || !errors.Is(err, over.Err()) {
			t.Error(err)
		}
	}
	var none context.Context
	if err := apart(spin.CallContext(none)); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
}

func TestInterruptEndsWhatIsPending(t *testing.T) {
	l := library(t)
	spin := must(lfi.Func0[lfi.Void](l, "spin"))
	done := make(chan error)
	go func() { done <- apart(spin.Call()) }()
	for {
		if err := l.Interrupt(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if !errors.Is(err, lfi.ErrInterrupted) {
				t.Error(err)
			}
			return
		case <-time.After(time.Millisecond): // it may not have begun yet
		}
	}
}

func TestLimitsHold(t *testing.T) {
	l := library(t, lfi.WithLimits(lfi.Limits{Memory: 16 << 20}))
	if _, err := l.Alloc(64 << 20); !errors.Is(err, lfi.ErrLimit) {
		t.Error(err)
	}
	if err := l.SetLimits(lfi.Limits{CPU: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	spin := must(lfi.Func0[lfi.Void](l, "spin"))
	if err := apart(spin.Call()); !errors.Is(err, lfi.ErrLimit) {
		t.Error(err)
	}
	if u := must(l.Usage()); u.CPU < 10*time.Millisecond || u.Memory == 0 || u.Calls == 0 {
		t.Errorf("%+v", u)
	}
}

func TestMoreThreadsThanContextsShareSome(t *testing.T) {
	l := library(t, lfi.Threads(2))
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	add := must(lfi.Func2[int32, int32, int32](l, "add"))
	const n = 12
	var all sync.WaitGroup
	together := must(lfi.Callback1(l, func(x int32) int32 {
		all.Done()
		all.Wait() // each is in the sandbox, on a thread of its own
		return must(add.Call(x, x))
	}))
	for round := 0; round < 20; round++ {
		all.Add(n)
		var group sync.WaitGroup
		for i := int32(0); i < n; i++ {
			group.Add(1)
			go func() {
				defer group.Done()
				got, err := apply.Call(together, i)
				if err != nil {
					all.Done() // or the others would wait for ever
				}
				if got != 2*i+1 || err != nil {
					t.Error(got, err)
				}
			}()
		}
		group.Wait()
	}
	if u := must(l.Usage()); u.Threads > 2+16 {
		t.Errorf("%d contexts", u.Threads)
	}
}

func TestWaitingForAContextEndsWithTheContext(t *testing.T) {
	l := library(t, lfi.Threads(1))
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	const n = 1 + 16 // all that there are
	var all sync.WaitGroup
	all.Add(n)
	leave := make(chan bool)
	wait := must(lfi.Callback1(l, func(x int32) int32 {
		all.Done()
		<-leave
		return x
	}))
	var group sync.WaitGroup
	for i := 0; i < n; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := apart(apply.Call(wait, 1)); err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
	short, cancel := context.WithTimeout(background, 20*time.Millisecond)
	defer cancel()
	if err := apart(apply.CallContext(short, wait, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	close(leave)
	group.Wait()
}

func TestWhatIsForgottenIsClosed(t *testing.T) {
	data := image(t, filepath.Join(programs, "library.c"))
	before := mappings(t)
	for i := 0; i < 300; i++ {
		l := must(lfi.Load(data))
		must(must(lfi.Func2[int32, int32, int32](l, "add")).Call(1, 2))
		if i%50 == 49 {
			runtime.GC()
			time.Sleep(time.Millisecond)
		}
	}
	for i := 0; mappings(t) > before+500; i++ {
		if i == 1000 {
			t.Fatalf("%d mappings, %d before", mappings(t), before)
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
}

// mappings counts those of the process.
func mappings(t testing.TB) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(maps), "\n")
}

func TestNothingLeaks(t *testing.T) {
	data := image(t, filepath.Join(programs, "library.c"))
	round := func() {
		l := must(lfi.Load(data))
		apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
		must(apply.Call(must(lfi.Callback1(l, func(x int32) int32 { return x })), 1))
		must(must(lfi.Func1[int, string](l, "length")).Call("text"))
		if err := apart(must(lfi.Func1[lfi.Void, lfi.Ptr](l, "write_to")).Call(0)); err == nil {
			t.Error("no fault")
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	for i := 0; i < 100; i++ {
		round()
	}
	runtime.GC()
	memory, maps := resident(t), mappings(t)
	for i := 0; i < 500; i++ {
		round()
	}
	runtime.GC()
	if now := mappings(t); now > maps+50 {
		t.Errorf("%d mappings, %d before", now, maps)
	}
	if raceEnabled {
		t.Log("the race detector's own memory grows: what is resident is not compared")
	} else if now := resident(t); now > memory+4<<20 {
		t.Errorf("%d bytes are resident, %d were before", now, memory)
	}
}

// resident is the process's memory in bytes.
func resident(t testing.TB) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	for _, c := range strings.Fields(string(data))[1] {
		pages = pages*10 + int(c-'0')
	}
	return pages * os.Getpagesize()
}

func TestLoadRefusesWhatIsNoLibrary(t *testing.T) {
	good := image(t, filepath.Join(programs, "library.c"))
	for name, bad := range map[string][]byte{"nothing": nil, "text": []byte("#!/bin/sh\n"), "half": good[:len(good)/2]} {
		if _, err := lfi.Load(bad); !errors.Is(err, lfi.ErrProgram) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := lfi.LoadFile("/nonexistent"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	program := image(t, filepath.Join(programs, "program.c"))
	if _, err := lfi.Load(program, lfi.Output(nil, nil)); !errors.Is(err, lfi.ErrInvalid) {
		t.Errorf("a program with a main: %v", err)
	}
	for name, option := range map[string]lfi.Option{
		"nil": nil, "a NUL": lfi.Named("a\x00b"), "a relative path": lfi.Dir("data", "/"), "env": lfi.Env("A=\x00"),
		"a timeout": lfi.Timeout(-1), "a stack": lfi.StackSize(-1), "a large stack": lfi.StackSize(1 << 40),
		"no threads": lfi.Threads(0), "limits": lfi.WithLimits(lfi.Limits{Files: -1}),
	} {
		if _, err := lfi.Load(good, option); !errors.Is(err, lfi.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := lfi.Load(good, lfi.Dir("/data", "/nonexistent")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestCodeThatDoesNotVerifyIsNamedWithItsRule(t *testing.T) {
	bad := append([]byte(nil), image(t, filepath.Join(programs, "library.c"))...)
	at := codeOf(t, bad)
	copy(bad[at:], "\x48\x8b\x00") // mov (%rax), %rax
	_, err := lfi.Load(bad)
	var refused *lfi.VerifyError
	if !errors.As(err, &refused) || refused.Rule != "memory" || refused.Instruction != "mov (%rax), %rax" ||
		refused.Reason == "" || refused.Offset == 0 {
		t.Errorf("%+v", err)
	}
}

func TestSignaturesThatCannotBe(t *testing.T) {
	l := library(t)
	for name, err := range map[string]error{
		"a map":       apart(lfi.Func1[int32, map[int]int](l, "add")),
		"a pointer":   apart(lfi.Func1[int32, *int32](l, "add")),
		"any":         apart(lfi.Func1[int32, any](l, "add")),
		"an array":    apart(lfi.Func1[int32, [4]int32](l, "add")),
		"no members":  apart(lfi.Func1[int32, struct{}](l, "add")),
		"a slice":     apart(lfi.Func1[int32, []int32](l, "add")),
		"bytes out":   apart(lfi.Func1[[]byte, int32](l, "add")),
		"a complex":   apart(lfi.Func1[complex128, int32](l, "add")),
		"in a struct": apart(lfi.Func1[struct{ P *int }, int32](l, "add")),
		"65":          apart(lfi.FuncN[int32, [65]int32](l, "add")),
		"no struct":   apart(lfi.FuncN[int32, int32](l, "add")),
		"New":         apart(lfi.New(l, "text")),
		"Get":         apart(lfi.Get[[]int](l, 0)),
	} {
		if !errors.Is(err, lfi.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, symbol := range []string{"absent", "", "a\x00b", strings.Repeat("x", 1<<20)} {
		if _, err := lfi.Func0[int32](l, symbol); !errors.Is(err, lfi.ErrNotFound) {
			t.Errorf("%.20q: %v", symbol, err)
		}
	}
	var f lfi.Fn0[int32]
	if _, err := f.Call(); !errors.Is(err, lfi.ErrInvalid) || f.Name() != "" {
		t.Error(err)
	}
	if _, err := f.CallContext(background); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
}

// late is a context that was cancelled already, but says so only from the second time on that it is asked.
type late struct {
	context.Context
	over  chan struct{}
	asked atomic.Bool
}

func (c *late) Done() <-chan struct{} { return c.over }

func (c *late) Err() error {
	if c.asked.Swap(true) {
		return context.Canceled
	}
	return nil
}

func TestAContextThatEndsJustBeforeACallEndsIt(t *testing.T) {
	l := library(t)
	spin := must(lfi.Func0[lfi.Void](l, "spin"))
	over := make(chan struct{})
	close(over)
	for i := 0; i < 200; i++ {
		err := apart(spin.CallContext(&late{Context: background, over: over}))
		if !errors.Is(err, lfi.ErrInterrupted) || !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

func TestContextsGoWithTheirThreads(t *testing.T) {
	l := library(t, lfi.Threads(4))
	add := must(lfi.Func2[int32, int32, int32](l, "add"))
	mine := must(lfi.Func0[int32](l, "count_mine"))
	for i := 0; i < 100; i++ {
		done := make(chan bool)
		go func() {
			defer close(done)
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			if got, err := add.Call(1, 2); got != 3 || err != nil {
				t.Error(got, err)
			}
			if got := must(mine.Call()); got != must(mine.Call())-1 {
				t.Errorf("thread-local data is another thread's: %d", got)
			}
		}()
		<-done
	}
	for i := 0; must(l.Usage()).Threads > 4; i++ {
		if i == 1000 {
			t.Fatalf("%d contexts", must(l.Usage()).Threads)
		}
		time.Sleep(time.Millisecond) // the last thread may not have ended yet
	}
}

// patched is the library with a loop in place of a function's first instructions.
func patched(t *testing.T, symbol string) []byte {
	t.Helper()
	data := append([]byte(nil), image(t, filepath.Join(programs, "library.c"))...)
	file := must(elf.NewFile(bytes.NewReader(data)))
	for _, s := range must(file.Symbols()) {
		if s.Name != symbol {
			continue
		}
		for _, p := range file.Progs {
			if p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value < p.Vaddr+p.Filesz {
				bundle := data[p.Off+s.Value-p.Vaddr:][:32]
				copy(bundle, bytes.Repeat([]byte{0x90}, 32))
				copy(bundle, "\xeb\xfe") // jmp to itself
				return data
			}
		}
	}
	t.Fatalf("the library has no %s", symbol)
	return nil
}

// A library whose libc takes for ever to make thread-local data for a second thread of the host.
func TestALibraryThatMakesNoThreadIsEnded(t *testing.T) {
	t.Parallel() // it takes what libc gets for that, five seconds
	l := load(t, patched(t, "__lfi_new_thread"))
	add := must(lfi.Func2[int32, int32, int32](l, "add"))
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	second := must(lfi.Callback1(l, func(x int32) int32 {
		failed := make(chan error)
		go func() { failed <- apart(add.Call(x, x)) }() // on another thread: this one is in the sandbox
		if err := <-failed; !errors.Is(err, lfi.ErrDeadline) {
			t.Error(err)
		}
		return x
	}))
	if got := must(apply.Call(second, 1)); got != 2 {
		t.Error(got)
	}
}
