// SPDX-License-Identifier: MIT

// Package lfi runs C code that is not trusted in sandboxes in the process itself, at nearly native speed. What runs in a
// sandbox can neither read nor write the memory of the process, nor make a system call that it was not granted. A small
// verifier proves that of its machine code before one byte of it runs.
//
// # Libraries
//
// A library is a C program without main, compiled by lfi-cc. Load starts one in a sandbox of its own:
//
//	lib, err := lfi.LoadFile("add.lfi")
//	add, err := lfi.Func2[int32, int32, int32](lib, "add") // int add(int, int)
//	sum, err := add.Call(2, 40)
//
// Func0 to Func8, and FuncN for more, prepare a function; the result's type comes first. Types are checked when the
// function is prepared, and stand for those of C:
//
//	int8 … int64, uint8 … uint64, int, uint, uintptr   integers of that many bits; int, uint, uintptr: long
//	bool, float32, float64                             _Bool, float, double
//	Ptr                                                any pointer: an address of the sandbox
//	a struct of such, and of arrays of such            a struct by value
//	string                                             const char *: a copy with a NUL, for the time of the call
//	[]byte                                             const void *: likewise, without a NUL; nil is a null pointer
//	InOut                                              void *: a copy that comes back when the call has returned
//	Void, string                                       as a result: void; text behind a const char *
//
// What a Go type does not say nobody checks: the C function may have other parameters. That harms its sandbox only.
//
// # Programs
//
// Command runs a C program, as os/exec does: with streams, a context and exit codes, but in a sandbox of this process, with
// no file and no variable of the host but what it is given.
//
//	cmd := lfi.CommandContext(ctx, "sort.lfi", "-r")
//	cmd.Stdin = r.Body
//	cmd.Mounts = []lfi.Mount{{Path: "/data", HostDir: "data", ReadOnly: true}, {Path: "/assets", FS: assets}}
//	out, err := cmd.Output()
//
// # Errors
//
// All that goes wrong is an error. errors.Is says of which kind it is: ErrFault when the code trapped (a *FaultError says
// how), ErrDeadline and ErrInterrupted, ErrClosed, ErrBusy, and others. After an error the sandbox can be used as before,
// but what the C code was doing is lost in the middle: a sandbox that is not worth keeping is closed, or reset by a Pool.
//
// # Goroutines, threads and time
//
// Everything may be used by many goroutines at once, if the C code is made for threads. CallContext ends a call with its
// context: wherever it loops or sleeps. A Go function that it has called is not cut short. When the context of a call that
// was made in a callback ends, the call around it ends, too.
//
// Thread-local data of C code, errno for example, belongs to the thread of the operating system, as with cgo: two calls that
// rely on it need runtime.LockOSThread.
//
// # Signals
//
// liblfi puts handlers of SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGTRAP before those of Go's runtime, and passes on what is no
// fault of a sandbox: nil dereferences in Go are panics as ever. It also takes the highest real-time signal; do not Ignore
// that, or calls cannot be ended. Profiles show what a sandbox takes as the cgo call into it.
package lfi

//go:generate go run gen.go
//go:generate gofmt -w func_gen.go
