// SPDX-License-Identifier: MIT

// Package cabi is the only one that has cgo in it: liblfi's C ABI as Go functions that return errors. Its C sources are
// copies of lib/ and include/ (see sources.sh), or an installed liblfi with -tags lfi_system; shim.c is what stands
// between.
//
// Addresses are uint64, in either of the forms that liblfi takes. Pointers to C structs are uintptr where C owns what
// they lead to and Go only hands them back.
package cabi

/*
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"context"
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// ---- Errors ----

// Codes of liblfi, and those of the shim.
const (
	ErrInvalid     = int(C.LFI_ERR_INVALID)
	ErrNoMemory    = int(C.LFI_ERR_NOMEM)
	ErrNoSpace     = int(C.LFI_ERR_NOSPACE)
	ErrOS          = int(C.LFI_ERR_OS)
	ErrRange       = int(C.LFI_ERR_RANGE)
	ErrUnmapped    = int(C.LFI_ERR_UNMAPPED)
	ErrVerify      = int(C.LFI_ERR_VERIFY)
	ErrCPU         = int(C.LFI_ERR_CPU)
	ErrELF         = int(C.LFI_ERR_ELF)
	ErrBusy        = int(C.LFI_ERR_BUSY)
	ErrFault       = int(C.LFI_ERR_FAULT)
	ErrInterrupted = int(C.LFI_ERR_INTERRUPTED)
	ErrDeadline    = int(C.LFI_ERR_DEADLINE)
	ErrLimit       = int(C.LFI_ERR_LIMIT)
	ErrNotFound    = int(C.LFI_ERR_NOTFOUND)
	ErrSignature   = int(C.LFI_ERR_SIGNATURE)
	ErrUnsupported = int(C.LFI_ERR_UNSUPPORTED)
	ErrClosed      = int(C.GO_CLOSED)
	ErrCrowded     = int(C.GO_CROWDED)
)

// Failure is an error before package lfi has made one of its own of it.
type Failure struct {
	Code    int
	Message string
	Fault   *Fault
}

func (f *Failure) Error() string { return f.Message }

// Fault is how sandboxed code trapped.
type Fault struct {
	Signal, SignalCode int
	Kind               string
	Address, PC        uint64
	PCOffset           uint64
	Symbol             string
	SymbolOffset       uint64
	Trace              []Place
	Text               string
}

// Place is a frame of a backtrace.
type Place struct {
	Address, Offset uint64
	Symbol          string
	SymbolOffset    uint64
}

// MakeError makes the errors that callers see; package lfi sets it.
var MakeError = func(f *Failure) error { return f }

// WithContext adds what a context says to the error of a call that it has ended; package lfi sets it.
var WithContext = func(err error, ctx context.Context) error { return err }

// Fail is an error of the binding's own.
func Fail(code int, message string) error {
	return MakeError(&Failure{Code: code, Message: message})
}

// check makes an error of what C brought out, and goes on with a panic that went through C.
func check(f *C.struct_GoFailure) error {
	if f == nil {
		return nil
	}
	return failed(f)
}

func failed(f *C.struct_GoFailure) error {
	code, panicked := int(f.code), cgo.Handle(f.panic)
	made := &Failure{Code: code, Message: C.GoString(&f.message[0])}
	if f.has_fault {
		made.Fault = faultOf(f)
	}
	C.go_failure_free(f)
	if code == int(C.GO_PANIC) {
		value := panicked.Value()
		panicked.Delete()
		panic(value)
	}
	return MakeError(made)
}

func faultOf(f *C.struct_GoFailure) *Fault {
	fault := &Fault{
		Signal: int(f.signal), SignalCode: int(f.signal_code), Kind: C.GoString(&f.kind_name[0]),
		Address: uint64(f.address), PC: uint64(f.pc), PCOffset: uint64(f.pc_offset),
		Symbol: C.GoString(&f.symbol[0]), SymbolOffset: uint64(f.symbol_offset),
		Text: C.GoString(&f.text[0]),
	}
	for i := range f.trace[:f.depth] {
		place := &f.trace[i]
		fault.Trace = append(fault.Trace, Place{
			Address: uint64(place.address), Offset: uint64(place.offset),
			Symbol: C.GoString(&place.symbol[0]), SymbolOffset: uint64(place.symbol_offset),
		})
	}
	return fault
}

func result(r C.struct_GoResult) (uint64, error) {
	if r.failure != nil {
		return 0, failed(r.failure)
	}
	return uint64(r.value), nil
}

// cstring is freed by the caller.
func cstring(s string) *C.char { return C.CString(s) }

// cstrings makes a NULL-terminated array of C strings.
func cstrings(list []string) (array **C.char, free func()) {
	size := C.size_t(len(list)+1) * C.size_t(unsafe.Sizeof(uintptr(0)))
	array = (**C.char)(C.calloc(1, size))
	all := unsafe.Slice(array, len(list)+1)
	for i, s := range list {
		all[i] = cstring(s)
	}
	return array, func() {
		for _, s := range all {
			C.free(unsafe.Pointer(s))
		}
		C.free(unsafe.Pointer(array))
	}
}

func bytesOf(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// ---- Engines ----

// EngineOptions are liblfi's.
type EngineOptions struct {
	Verbose, NoVerify, StoresOnly, JumpsOnly, SingleThread, NoRDTSC bool
	Bundle                                                          int
}

func (o EngineOptions) c() C.struct_GoEngineOptions {
	return C.struct_GoEngineOptions{
		verbose: C.bool(o.Verbose), no_verify: C.bool(o.NoVerify), stores_only: C.bool(o.StoresOnly),
		jumps_only: C.bool(o.JumpsOnly), single_thread: C.bool(o.SingleThread), no_rdtsc: C.bool(o.NoRDTSC),
		bundle: C.uint(o.Bundle),
	}
}

// Engine is an LFIEngine.
type Engine uintptr

// NewEngine reserves room for so many boxes.
func NewEngine(options EngineOptions, boxes int) (Engine, error) {
	v, err := result(C.go_engine_new(options.c(), C.size_t(boxes)))
	return Engine(v), err
}

// Free fails while there are boxes.
func (e Engine) Free() error { return check(C.go_engine_free(C.uintptr_t(e))) }

// Serve makes Go serve the runtime calls of the engine's boxes.
func (e Engine) Serve() { C.go_engine_serve(C.uintptr_t(e)) }

// LinuxOptions are liblfi's.
type LinuxOptions struct {
	Dirs                 []string // "<sandbox-path>=<host-path>", with ":ro" at the end
	WorkDir              string
	StackSize            int
	Verbose, ExitUnknown bool
}

// Linux is an LFILinuxEngine.
type Linux uintptr

// NewLinux puts a Linux engine on top of an engine.
func (e Engine) NewLinux(o LinuxOptions) (Linux, error) {
	dirs, free := cstrings(o.Dirs)
	defer free()
	wd := cstring(o.WorkDir)
	defer C.free(unsafe.Pointer(wd))
	v, err := result(C.go_linux_new(C.uintptr_t(e), dirs, wd, C.size_t(o.StackSize), C.bool(o.Verbose),
		C.bool(o.ExitUnknown)))
	return Linux(v), err
}

// Free fails while there are processes.
func (l Linux) Free() error { return check(C.go_linux_free(C.uintptr_t(l))) }

// ReclaimSignals puts liblfi's handlers of faults on top again.
func ReclaimSignals() error { return check(C.go_signal_reclaim()) }

// ---- Boxes ----

// Box is a sandbox with what Go keeps of it. What frees it must not run while another method does, but for calls and
// runs, which look for themselves: those of package lfi and core see to that.
type Box struct {
	c       *C.struct_GoBox
	open    bool
	handles map[uint64]cgo.Handle // of host functions, by address
	release func()                // what the box was made in is not needed any more
}

// boxOf takes a new box over. The finalizer is the net under those who forget to close it.
func boxOf(r C.struct_GoResult, release func()) (*Box, error) {
	v, err := result(r)
	if err != nil {
		return nil, err
	}
	b := &Box{c: (*C.struct_GoBox)(hostMemory(v)), open: true, release: release}
	runtime.SetFinalizer(b, (*Box).finalize)
	return b, nil
}

// NewBox makes a box of the core API. When it is gone, release is called.
func (e Engine) NewBox(release func()) (*Box, error) {
	return boxOf(C.go_box_new(C.uintptr_t(e)), release)
}

// NewProcess makes a process in which so many threads have a context of their own.
func (l Linux) NewProcess(seats int, release func()) (*Box, error) {
	return boxOf(C.go_proc_new(C.uintptr_t(l), C.uint(seats)), release)
}

// Snapshot is an LFISnapshot.
type Snapshot uintptr

// Clone makes a process of a snapshot.
func (s Snapshot) Clone(seats int, release func()) (*Box, error) {
	return boxOf(C.go_snapshot_clone(C.uintptr_t(s), C.uint(seats)), release)
}

// Free lets the snapshot go; clones live on.
func (s Snapshot) Free() { C.go_snapshot_free(C.uintptr_t(s)) }

// Serial is the number of the box's life.
func (b *Box) Serial() uint64 { return uint64(C.go_box_serial(b.c)) }

// Retire ends the box's life, unless a call is in it.
func (b *Box) Retire() error { return check(C.go_box_retire(b.c)) }

// Renew resets a box that was retired, and gives the number of its new life.
func (b *Box) Renew() (uint64, error) { return result(C.go_box_renew(b.c)) }

// Close frees a box that was retired.
func (b *Box) Close() error {
	if !b.open {
		return nil
	}
	err := check(C.go_box_empty(b.c))
	b.open = false
	for _, handle := range b.handles {
		handle.Delete()
	}
	b.handles = nil
	if b.release != nil {
		b.release()
		b.release = nil
	}
	return err
}

func (b *Box) finalize() {
	if b.open && b.Retire() == nil {
		b.Close() // nobody is there to be told
	}
	if !b.open {
		C.go_box_free(b.c)
	}
}

// Load loads a program into a process.
func (b *Box) Load(image []byte, name string) error {
	s := cstring(name)
	defer C.free(unsafe.Pointer(s))
	return check(C.go_box_load(b.c, bytesOf(image), C.size_t(len(image)), s))
}

// Stdio replaces the descriptors that the program sees as 0, 1 and 2; -1 is none.
func (b *Box) Stdio(in, out, err int) error {
	return check(C.go_box_stdio(b.c, C.int(in), C.int(out), C.int(err)))
}

// Thread makes the process's first thread.
func (b *Box) Thread(args, env []string) error {
	argv, free := cstrings(args)
	defer free()
	envp, freeEnv := cstrings(env)
	defer freeEnv()
	return check(C.go_box_thread(b.c, C.int(len(args)), argv, envp))
}

// Run runs the program to its end and gives its status or, as a library, until it is ready.
func (b *Box) Run(serial uint64, library bool, timeout uint64, cancel *Cancel) (status int, err error) {
	v, err := result(C.go_box_run(b.c, C.uint64_t(serial), C.bool(library), C.uint64_t(timeout), cancel.c()))
	runtime.KeepAlive(b)
	return int(int32(v)), err
}

// Freeze makes a snapshot.
func (b *Box) Freeze() (Snapshot, error) {
	v, err := result(C.go_box_snapshot(b.c))
	return Snapshot(v), err
}

// Protections of pages.
const (
	Read  = int(C.LFI_PROT_READ)
	Write = int(C.LFI_PROT_WRITE)
	Exec  = int(C.LFI_PROT_EXEC)
)

// Map maps zeroed pages; at 0: anywhere.
func (b *Box) Map(at, size uint64, prot int) (uint64, error) {
	return result(C.go_box_map(b.c, C.uint64_t(at), C.size_t(size), C.int(prot)))
}

// Protect changes the protection of pages; code is verified.
func (b *Box) Protect(at, size uint64, prot int) error {
	return check(C.go_box_protect(b.c, C.uint64_t(at), C.size_t(size), C.int(prot)))
}

// Unmap unmaps pages.
func (b *Box) Unmap(at, size uint64) error {
	return check(C.go_box_unmap(b.c, C.uint64_t(at), C.size_t(size)))
}

// Read copies out of the box.
func (b *Box) Read(to []byte, from uint64) error {
	return check(C.go_box_read(b.c, bytesOf(to), C.uint64_t(from), C.size_t(len(to))))
}

// Write copies into the box.
func (b *Box) Write(to uint64, from []byte) error {
	return check(C.go_box_write(b.c, C.uint64_t(to), bytesOf(from), C.size_t(len(from))))
}

// ReadAt copies what p leads to out of the box.
func (b *Box) ReadAt(p unsafe.Pointer, size uintptr, from uint64) error {
	return check(C.go_box_read(b.c, p, C.uint64_t(from), C.size_t(size)))
}

// WriteAt copies what p leads to into the box.
func (b *Box) WriteAt(to uint64, p unsafe.Pointer, size uintptr) error {
	return check(C.go_box_write(b.c, C.uint64_t(to), p, C.size_t(size)))
}

// String copies a NUL-terminated string out, of which room has room for the NUL, too; the length is without.
func (b *Box) String(room []byte, from uint64) (int, error) {
	v, err := result(C.go_box_string(b.c, (*C.char)(bytesOf(room)), C.uint64_t(from), C.size_t(len(room))))
	return int(v), err
}

// Pin gives the memory itself, until Unpin with the same range.
func (b *Box) Pin(at, size uint64, write bool) ([]byte, error) {
	v, err := result(C.go_box_pin(b.c, C.uint64_t(at), C.size_t(size), C.bool(write)))
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(hostMemory(v)), size), nil
}

// hostMemory is a pointer to what is none of Go's.
func hostMemory(at uint64) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }

// Unpin takes back a Pin.
func (b *Box) Unpin(at, size uint64) { C.go_box_unpin(b.c, C.uint64_t(at), C.size_t(size)) }

// Symbol is the address of a symbol of the program.
func (b *Box) Symbol(name string) (uint64, error) {
	s := cstring(name)
	defer C.free(unsafe.Pointer(s))
	return result(C.go_box_symbol(b.c, s))
}

// Interrupt ends all calls that are pending.
func (b *Box) Interrupt() error { return check(C.go_box_interrupt(b.c)) }

// Limit replaces the box's limits.
func (b *Box) Limit(mapped, cpu uint64, threads, files uint32) error {
	return check(C.go_box_limit(b.c, C.uint64_t(mapped), C.uint64_t(cpu), C.uint32_t(threads), C.uint32_t(files)))
}

// Stats is what a box has used.
type Stats struct {
	Mapped, MappedPeak, Resident, Calls, RuntimeCalls, Faults, CPU uint64
	Contexts                                                       uint32
}

// Stats says what the box has used so far.
func (b *Box) Stats() Stats {
	s := C.go_box_stats(b.c)
	return Stats{uint64(s.mapped), uint64(s.mapped_peak), uint64(s.resident), uint64(s.calls), uint64(s.runtime_calls),
		uint64(s.faults), uint64(s.cpu_ns), uint32(s.contexts)}
}

// Bounds are the box's first address and what of it can be mapped.
func (b *Box) Bounds() (base, low, high uint64) {
	i := C.go_box_info(b.c)
	return uint64(i.base), uint64(i.min), uint64(i.max)
}

// PrepareCalls maps what functions of the sandbox return to (core API).
func (b *Box) PrepareCalls() error { return check(C.go_box_prepare_calls(b.c)) }

// ---- Host functions ----

// HostFunc is called by sandboxed code. args are words, in C memory, valid during the call: those of structs lead to
// liblfi's copies. What a struct result is written to is behind the pointer in result.
type HostFunc func(args unsafe.Pointer, result unsafe.Pointer)

// Register lets sandboxed code call f, as a function of the signature: at the address `at`, or anywhere when it is 0.
func (b *Box) Register(signature string, f HostFunc, at uint64) (uint64, error) {
	s := cstring(signature)
	defer C.free(unsafe.Pointer(s))
	handle := cgo.NewHandle(f)
	v, err := result(C.go_box_register(b.c, s, C.uintptr_t(handle), C.uint64_t(at)))
	if err != nil {
		handle.Delete()
		return 0, err
	}
	if b.handles == nil {
		b.handles = map[uint64]cgo.Handle{}
	}
	b.handles[v] = handle
	return v, nil
}

// Unregister takes a host function back. Calls that are in it go on, so its handle stays until the box is closed.
func (b *Box) Unregister(at uint64) error {
	return check(C.go_box_unregister(b.c, C.uint64_t(at)))
}

// WordFunc is a HostFunc with so many words as arguments, and one as the result.
func WordFunc(params int, f func(args []uint64) uint64) HostFunc {
	return func(args, result unsafe.Pointer) {
		words := append([]uint64(nil), unsafe.Slice((*uint64)(args), params)...)
		*(*uint64)(result) = f(words)
	}
}

//export lfiGoHostFunction
func lfiGoHostFunction(handle C.uintptr_t, relay C.bool, args, result C.uintptr_t) (panicked C.uintptr_t) {
	f := cgo.Handle(handle).Value().(HostFunc)
	returned := !bool(relay)
	defer func() {
		if !returned {
			panicked = caught(recover())
		}
	}()
	f(hostMemory(uint64(args)), hostMemory(uint64(result)))
	returned = true
	return 0
}

//export lfiGoRuntimeCall
func lfiGoRuntimeCall(handle C.uintptr_t) (panicked C.uintptr_t) {
	f := cgo.Handle(handle).Value().(func())
	returned := false
	defer func() {
		if !returned {
			panicked = caught(recover())
		}
	}()
	f()
	returned = true
	return 0
}

// caught keeps what was panicked with until the call into the sandbox has returned. runtime.Goexit has nothing to
// keep, and would leave the sandbox's frames on the thread's stack for ever: the process ends, as by a panic that nobody
// recovers.
func caught(value any) C.uintptr_t {
	if value == nil {
		go panic("lfi: runtime.Goexit, or t.FailNow, in a function that a sandbox called")
		select {}
	}
	return C.uintptr_t(cgo.NewHandle(value))
}

// ---- Contexts ----

// Context is an LFIContext.
type Context uintptr

// NewContext makes a context of the core API.
func (b *Box) NewContext() (Context, error) {
	v, err := result(C.go_ctx_new(b.c))
	return Context(v), err
}

// Lend makes a context of a process for threads that have none of their own. It belongs to the calling thread: when that
// ends, it goes.
func (b *Box) Lend() (Context, error) {
	v, err := result(C.go_ctx_lend(b.c))
	return Context(v), err
}

// Free fails while the context is entered.
func (c Context) Free() error { return check(C.go_ctx_free(C.uintptr_t(c))) }

// Regs are the registers of x86-64 in liblfi's order.
type Regs struct {
	RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI uint64
	R8, R9, R10, R11, R12, R13             uint64
	XMM                                    [16][2]uint64
}

var _ [unsafe.Sizeof(Regs{})]byte = [C.sizeof_struct_LFIRegs]byte{}

// Regs copies the context's registers.
func (c Context) Regs() (r Regs, err error) {
	err = check(C.go_ctx_regs(C.uintptr_t(c), (*C.struct_LFIRegs)(unsafe.Pointer(&r))))
	return
}

// SetRegs replaces them.
func (c Context) SetRegs(r *Regs) error {
	return check(C.go_ctx_set_regs(C.uintptr_t(c), (*C.struct_LFIRegs)(unsafe.Pointer(r))))
}

// Exit ends the run that is under way.
func (c Context) Exit(code int) { C.go_ctx_exit(C.uintptr_t(c), C.int(code)) }

// handlerHandle is 0 for nil.
func handlerHandle(handler func()) (handle C.uintptr_t, free func()) {
	if handler == nil {
		return 0, func() {}
	}
	h := cgo.NewHandle(handler)
	return C.uintptr_t(h), h.Delete
}

// RunContext runs from the address until a handler exits.
func (b *Box) RunContext(serial uint64, c Context, at uint64, handler func(), timeout uint64, cancel *Cancel) (int, error) {
	handle, free := handlerHandle(handler)
	defer free()
	v, err := result(C.go_ctx_run(b.c, C.uint64_t(serial), C.uintptr_t(c), C.uint64_t(at), handle, C.uint64_t(timeout),
		cancel.c()))
	runtime.KeepAlive(b)
	return int(int32(v)), err
}

// ---- Calls ----

// Func is a function of a box, prepared. It belongs to the box, which must be kept alive during calls.
type Func struct {
	c   *C.struct_GoFn
	raw C.uintptr_t // the same, which cgo need not look at
}

// NewFunc prepares calls of what is at an address. Bit i of structs says that argument i is a struct.
func (b *Box) NewFunc(at uint64, signature string, structs uint64, structResult bool) (Func, error) {
	s := cstring(signature)
	defer C.free(unsafe.Pointer(s))
	v, err := result(C.go_fn_new(b.c, C.uint64_t(at), s, C.uint64_t(structs), C.bool(structResult)))
	if err != nil {
		return Func{}, err
	}
	return Func{(*C.struct_GoFn)(hostMemory(v)), C.uintptr_t(v)}, nil
}

// Call calls with up to six arguments, none of them a struct. It allocates nothing.
func (f Func) Call(serial uint64, a *[6]uint64) (uint64, error) {
	r := C.go_fn_call(f.raw, C.uint64_t(serial), C.uint64_t(a[0]), C.uint64_t(a[1]), C.uint64_t(a[2]), C.uint64_t(a[3]),
		C.uint64_t(a[4]), C.uint64_t(a[5]))
	if r.failure != nil {
		return 0, failed(r.failure)
	}
	return uint64(r.value), nil
}

// CallFew is Call with up to three arguments.
func (f Func) CallFew(serial, a, b, c uint64) (uint64, error) {
	r := C.go_fn_call_few(f.raw, C.uint64_t(serial), C.uint64_t(a), C.uint64_t(b), C.uint64_t(c))
	if r.failure != nil {
		return 0, failed(r.failure)
	}
	return uint64(r.value), nil
}

// Copy is what is copied into the sandbox before a call: bytes of the buffer.
type Copy struct {
	To, From, Size uint64
}

var _ [unsafe.Sizeof(Copy{})]byte = [C.sizeof_struct_GoCopy]byte{}

// Options are what else a call may have.
type Options struct {
	Timeout       uint64 // ns; 0: none
	Cancel        *Cancel
	Context       Context
	Handler       func()
	Args, NCopies int
}

// CallFully calls with the buffer that shim.h describes.
func (f Func) CallFully(serial uint64, buffer []uint64, o Options) (uint64, error) {
	handle, free := handlerHandle(o.Handler)
	defer free()
	return result(C.go_fn_call_fully(f.c, C.uint64_t(serial), (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(buffer))),
		C.struct_GoCall{
			timeout_ns: C.uint64_t(o.Timeout), cancel: o.Cancel.c(), ctx: C.uintptr_t(o.Context), handler: handle,
			nargs: C.uint32_t(o.Args), ncopies: C.uint32_t(o.NCopies),
		}))
}

// Cancel ends a call from outside. Two hold it, and each drops it once: who calls and who may fire.
type Cancel struct {
	p *C.struct_GoCancel
}

// NewCancel makes one.
func NewCancel() *Cancel { return &Cancel{C.go_cancel_new()} }

func (c *Cancel) c() *C.struct_GoCancel {
	if c == nil {
		return nil
	}
	return c.p
}

// Fire ends the call that it was, or will be, given to.
func (c *Cancel) Fire() { C.go_cancel_fire(c.p) }

// Drop gives it back.
func (c *Cancel) Drop() { C.go_cancel_drop(c.p) }

// ---- The verifier ----

// Violation is a rule that an instruction breaks.
type Violation struct {
	Offset, Size              uint64
	Rule, Instruction, Reason string
}

// Verify looks at code that is to be `offset` bytes from a box's base, and names at most so many violations.
func Verify(code []byte, offset uint64, o EngineOptions, most int) []Violation {
	found := make([]C.struct_GoViolation, most)
	r := C.go_verify(bytesOf(code), C.size_t(len(code)), C.uint64_t(offset), o.c(), unsafe.SliceData(found), C.size_t(most))
	list := make([]Violation, r.value)
	for i := range list {
		v := &found[i]
		list[i] = Violation{uint64(v.offset), uint64(v.size), C.GoString(&v.rule_name[0]), C.GoString(&v.instruction[0]),
			C.GoString(&v.reason[0])}
	}
	return list
}
