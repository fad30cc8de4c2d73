// SPDX-License-Identifier: MIT

package lfi_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/liblfi/lfi/bindings/go"
)

// goWork keeps goroutines running, allocating and collecting until the function that it returns is called.
func goWork() (stop func()) {
	var done atomic.Bool
	var group sync.WaitGroup
	for i := 0; i < 2; i++ {
		group.Add(2)
		go func() {
			defer group.Done()
			// Loops without calls, which only a signal preempts.
			for sum := 0; !done.Load(); {
				for k := 0; k < 1000000; k++ {
					sum += k * k
				}
				runtime.KeepAlive(make([]byte, 1<<16))
			}
		}()
		go func() {
			defer group.Done()
			for !done.Load() {
				runtime.GC()
			}
		}()
	}
	return func() {
		done.Store(true)
		group.Wait()
	}
}

// nilDereference reports whether a nil dereference is a panic of Go's.
func nilDereference() (panicked bool) {
	defer func() {
		err, ok := recover().(runtime.Error)
		panicked = ok && strings.Contains(err.Error(), "nil pointer dereference")
	}()
	var p *struct{ next *int }
	return p.next != nil
}

func TestFaultsInTheSandboxAndInGoAreToldApart(t *testing.T) {
	stop := goWork()
	defer stop()
	l := library(t)
	write := must(lfi.Func1[lfi.Void, lfi.Ptr](l, "write_to"))
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	inCallback := must(lfi.Callback1(l, func(x int32) int32 {
		if !nilDereference() {
			t.Error("in a callback, a nil dereference is no panic")
		}
		return x
	}))
	var group sync.WaitGroup
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for round := 0; round < 50; round++ {
				if _, err := write.Call(0); !errors.Is(err, lfi.ErrFault) {
					t.Error(err)
				}
				if !nilDereference() {
					t.Error("a nil dereference is no panic")
				}
				if got, err := apply.Call(inCallback, 1); got != 2 || err != nil {
					t.Error(got, err)
				}
			}
		}()
	}
	group.Wait()
}

// A fault of Go's inside a call that a sandbox made is a panic that comes out of the call into the sandbox.
func TestANilDereferenceInACallbackComesOut(t *testing.T) {
	l := library(t)
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	f := must(lfi.Callback1(l, func(int32) int32 {
		var p *int32
		return *p
	}))
	defer func() {
		if err, ok := recover().(runtime.Error); !ok || !strings.Contains(err.Error(), "nil pointer") {
			t.Error(err)
		}
	}()
	apply.Call(f, 1)
	t.Error("the call returned")
}

// A page that is not there, with SetPanicOnFault.
func TestMemoryFaultsOfGoAreStillPanics(t *testing.T) {
	library(t)
	page, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(page)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	t.Error("read", page[0])
}

// Go's signals on a thread that is in sandboxed code: the one that preempts and the profiler's.
func TestSignalsOfGoHitAThreadInTheSandbox(t *testing.T) {
	l := library(t)
	spin := must(lfi.Func0[lfi.Void](l, "spin"))
	write := must(lfi.Func1[lfi.Void, lfi.Ptr](l, "write_to"))
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Fatal(err)
	}
	thread := make(chan int)
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- syscall.Gettid()
		_, err := spin.Call()
		done <- err
	}()
	tid := <-thread
	for begin := time.Now(); time.Since(begin) < 200*time.Millisecond; {
		for _, signal := range []syscall.Signal{syscall.SIGURG, syscall.SIGPROF} {
			if err := syscall.Tgkill(os.Getpid(), tid, signal); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := write.Call(0); !errors.Is(err, lfi.ErrFault) {
			t.Fatal(err)
		}
	}
	for spinning := true; spinning; {
		l.Interrupt()
		select {
		case err := <-done:
			if !errors.Is(err, lfi.ErrInterrupted) {
				t.Error(err)
			}
			spinning = false
		case <-time.After(time.Millisecond):
		}
	}
	pprof.StopCPUProfile()
	// What the sandbox takes is the time of the call into it.
	unpacked, err := gzip.NewReader(&profile)
	if err != nil {
		t.Fatal(err)
	}
	if names := must(io.ReadAll(unpacked)); !bytes.Contains(names, []byte("_Cfunc_go_fn_call")) {
		t.Error("the profile does not show the call into the sandbox")
	}
}

func TestGarbageIsCollectedDuringCallbacks(t *testing.T) {
	l := library(t)
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	f := must(lfi.Callback1(l, func(x int32) int32 {
		list := make([]*int32, 1000)
		for i := range list {
			list[i] = new(int32)
			*list[i] = x
		}
		runtime.GC()
		return *list[999]
	}))
	for i := int32(0); i < 20; i++ {
		if got := must(apply.Call(f, i)); got != i+1 {
			t.Fatal(got)
		}
	}
}

// Stacks of goroutines grow and move under a call into a sandbox.
func TestStacksGrowInCallbacks(t *testing.T) {
	l := library(t)
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	var deep func(n int) int32
	deep = func(n int) int32 {
		var room [1024]byte
		room[n%1024] = 1
		if n == 0 {
			return int32(room[0])
		}
		return deep(n-1) + int32(room[(n+1)%1024])
	}
	f := must(lfi.Callback1(l, func(int32) int32 { return deep(2000) }))
	if got := must(apply.Call(f, 1)); got != 2 {
		t.Error(got)
	}
}

// childEnv is set in processes that a test starts.
const childEnv = "LFI_TEST_CHILD"

// child runs the test in a process of its own, and gives what that says.
func child(t *testing.T) (said string, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestGoexitInACallbackEndsTheProcess(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		image(t, filepath.Join(programs, "library.c"))
		if said, err := child(t); err == nil || !strings.Contains(said, "runtime.Goexit, or t.FailNow, in a function") {
			t.Errorf("%v: %s", err, said)
		}
		return
	}
	l := library(t)
	apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
	apply.Call(must(lfi.Callback1(l, func(int32) int32 { runtime.Goexit(); return 0 })), 1)
}

func TestAPanicOnAThreadOfTheSandboxEndsTheProcess(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		image(t, filepath.Join(programs, "library.c"))
		if said, err := child(t); err == nil || !strings.Contains(said, "panic: mine") {
			t.Errorf("%v: %s", err, said)
		}
		return
	}
	l := library(t)
	in := must(lfi.Func2[int32, lfi.Ptr, int32](l, "in_thread"))
	in.Call(must(lfi.Callback1(l, func(int32) int32 { panic("mine") })), 1)
}

func TestAFaultOfTheHostsOwnCodeStillEndsTheProcess(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		image(t, filepath.Join(programs, "library.c"))
		if said, err := child(t); err == nil || !strings.Contains(said, "SIGSEGV") {
			t.Errorf("%v: %s", err, said)
		}
		return
	}
	library(t)
	syscall.Kill(os.Getpid(), syscall.SIGSEGV)
	time.Sleep(10 * time.Second)
}
