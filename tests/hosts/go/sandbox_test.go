// SPDX-License-Identifier: MIT

package hosts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// childEnv is set in processes that child starts: "with" an engine, or "without".
const childEnv = "LFI_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "without" {
		if err := Open(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

type node struct{ next *node }

// nilDereference reports whether a nil dereference was a panic of Go's.
func nilDereference() (panicked bool) {
	defer func() {
		err, ok := recover().(runtime.Error)
		panicked = ok && strings.Contains(err.Error(), "nil pointer dereference")
	}()
	var n *node
	n = n.next
	return n != nil
}

// goWork keeps goroutines running, allocating and collecting until the function that it returns is called.
func goWork() (stop func()) {
	var done atomic.Bool
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			// Loops without calls, which only a signal preempts.
			for sum := 0; !done.Load(); {
				for k := 0; k < 1000000; k++ {
					sum += k * k
				}
				runtime.KeepAlive(make([]byte, 1<<16))
			}
		}()
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		for !done.Load() {
			runtime.GC()
		}
	}()
	return func() {
		done.Store(true)
		wg.Wait()
	}
}

func TestFaultsOfTheSandboxAreResultsWhileGoroutinesAreAtWork(t *testing.T) {
	stop := goWork()
	defer stop()
	var wg sync.WaitGroup
	for i := 0; i < 4; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for round := 0; round < 100; round++ {
				for kind := 0; kind < Faults; kind++ {
					if err := Fault(kind); err != nil {
						t.Error(err)
					}
				}
				if Add(40, round) != 40+round {
					t.Error("the sum is wrong")
				}
			}
		}()
	}
	wg.Wait()
}

func TestPanicsOfGoAreStillGos(t *testing.T) {
	for i := 0; i < 100; i++ {
		if !nilDereference() {
			t.Fatal("a nil dereference is no panic")
		}
		if err := Fault(i % Faults); err != nil {
			t.Fatal(err)
		}
	}
}

// Go's own signals on a thread that is in sandboxed code: the one that preempts and the profiler's.
func TestSignalsOfGoHitAThreadInTheSandbox(t *testing.T) {
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Fatal(err)
	}
	tid := make(chan int)
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid <- syscall.Gettid()
		result <- Spin()
	}()
	thread := <-tid
	for i := 0; i < 2000; i++ {
		if err := syscall.Tgkill(os.Getpid(), thread, syscall.SIGURG); err != nil {
			t.Fatal(err)
		}
		if err := Fault(i % Faults); err != nil {
			t.Fatal(err)
		}
	}
	for spinning := true; spinning; {
		// It may not have begun yet.
		Stop()
		select {
		case err := <-result:
			if err != nil {
				t.Error(err)
			}
			spinning = false
		default:
			runtime.Gosched()
		}
	}
	pprof.StopCPUProfile()
}

// crash runs the test in another process, and gives what Go says of the signal there and the exit status.
func crash(t *testing.T, how string) (said string, status int) {
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childEnv+"="+how)
	out, err := cmd.CombinedOutput()
	exit, ok := err.(*exec.ExitError)
	if !ok {
		t.Fatalf("%v: %s", err, out)
	}
	// Stacks follow.
	said, _, _ = strings.Cut(string(out), "\n\n")
	return places.ReplaceAllString(said, ""), exit.ExitCode()
}

// places is what differs from process to process: an address, a number of a thread.
var places = regexp.MustCompile(`(pc|PC)=0x[0-9a-f]+|m=[0-9]+`)

func TestAFaultOfTheHostsCCodeCrashesAsItDoesInGo(t *testing.T) {
	switch os.Getenv(childEnv) {
	case "with":
		if err := Fault(0); err != nil {
			t.Fatal(err)
		}
		CrashHost()
	case "without":
		CrashHost()
	default:
		said, status := crash(t, "with")
		wantSaid, wantStatus := crash(t, "without")
		if said != wantSaid || status != wantStatus || !strings.Contains(said, "SIGSEGV") {
			t.Errorf("exit status %d: %s\nnot %d: %s", status, said, wantStatus, wantSaid)
		}
	}
}
