// SPDX-License-Identifier: MIT

// Package core is the layer under package lfi: engines, boxes, contexts, registers, for those who bring their own machine
// code and serve its runtime calls themselves. Errors are those of package lfi.
//
// An Engine has room for a number of boxes. A Box is an empty sandbox: pages are mapped in it, filled, and made
// executable, which verifies them. A Context is a thread of execution in one. Run runs it until the engine's handler,
// which serves runtime calls, exits; Func calls a single function.
//
// All methods may be called from any goroutine; a context is used by one at a time (lfi.ErrBusy). Closing something is
// explicit, and fine again; what is closed is lfi.ErrClosed in all calls.
package core

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/liblfi/lfi/bindings/go"
	"github.com/liblfi/lfi/bindings/go/internal/cabi"
)

// PageSize is that of the host and its sandboxes.
const PageSize = 4096

// Prot is what pages may be used for.
type Prot int

// Protections. Pages are never writable and executable.
const (
	None  Prot = 0
	Read       = Prot(cabi.Read)
	Write      = Prot(cabi.Write)
	Exec       = Prot(cabi.Exec)
)

// Options are an engine's.
type Options struct {
	// Verbose logs to standard error.
	Verbose bool
	// NoVerify runs code that is not verified: unsafe.
	NoVerify bool
	// StoresOnly and JumpsOnly accept code that confines less.
	StoresOnly, JumpsOnly bool
	// SingleThread accepts the single-thread return; one context runs in a box at a time.
	SingleThread bool
	// NoRDTSC refuses code that reads the time-stamp counter.
	NoRDTSC bool
	// Bundle is 32 or 16 bytes; 0 means 32.
	Bundle int
}

func (o Options) c() cabi.EngineOptions {
	return cabi.EngineOptions{Verbose: o.Verbose, NoVerify: o.NoVerify, StoresOnly: o.StoresOnly, JumpsOnly: o.JumpsOnly,
		SingleThread: o.SingleThread, NoRDTSC: o.NoRDTSC, Bundle: o.Bundle}
}

func fail(code int, format string, args ...any) error {
	return cabi.Fail(code, fmt.Sprintf(format, args...))
}

func closed(what string) error { return fail(cabi.ErrClosed, "the %s is closed", what) }

// ---- Engines ----

// A Handler serves a runtime call of sandboxed code: it looks at the context's registers, changes them, may Exit. A panic
// in it ends the run, and goes on from there.
type Handler func(*Context)

// An Engine has address space for a number of boxes.
type Engine struct {
	options Options

	mu      sync.Mutex
	c       cabi.Engine // 0: closed
	boxes   int
	handler Handler
}

// New makes an engine with room for n boxes. That takes address space, no memory.
func New(options Options, n int) (*Engine, error) {
	if n < 1 {
		return nil, fail(cabi.ErrInvalid, "an engine for %d boxes", n)
	}
	if options.Bundle < 0 {
		return nil, fail(cabi.ErrInvalid, "a bundle of %d bytes", options.Bundle)
	}
	c, err := cabi.NewEngine(options.c(), n)
	if err != nil {
		return nil, err
	}
	return &Engine{options: options, c: c}, nil
}

// SetHandler sets what serves runtime calls of all boxes of the engine. Without one they are faults.
func (e *Engine) SetHandler(handler Handler) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.c == 0 {
		return
	}
	e.handler = handler
	if handler != nil {
		e.c.Serve()
	}
}

// Close frees the engine. Its boxes must have been closed: else it is lfi.ErrBusy.
func (e *Engine) Close() error {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.c == 0 {
		return nil
	}
	if e.boxes > 0 {
		return fail(cabi.ErrBusy, "the engine has %d boxes", e.boxes)
	}
	err := e.c.Free()
	if err == nil {
		e.c = 0
	}
	return err
}

func (e *Engine) left() {
	e.mu.Lock()
	e.boxes--
	e.mu.Unlock()
}

// ---- Boxes ----

// A Box is a sandbox of 4 GiB. Addresses in it are absolute, or offsets from its Base; where an address is taken, both
// are.
type Box struct {
	engine *Engine
	serial uint64
	c      *cabi.Box

	mu       sync.RWMutex // for writing: closing
	open     bool
	contexts map[*Context]bool
}

// NewBox makes an empty box.
func (e *Engine) NewBox() (*Box, error) {
	if e == nil {
		return nil, closed("engine")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.c == 0 {
		return nil, closed("engine")
	}
	c, err := e.c.NewBox(e.left)
	if err != nil {
		return nil, err
	}
	e.boxes++
	return &Box{engine: e, c: c, serial: c.Serial(), open: true, contexts: map[*Context]bool{}}, nil
}

// Close unmaps everything. While a context is entered it is lfi.ErrBusy.
func (b *Box) Close() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return nil
	}
	if err := b.c.Retire(); err != nil {
		return err
	}
	b.open = false
	clear(b.contexts)
	return b.c.Close()
}

func (b *Box) use() (done func(), err error) {
	if b == nil {
		return nil, closed("box")
	}
	b.mu.RLock()
	if !b.open {
		b.mu.RUnlock()
		return nil, closed("box")
	}
	return b.mu.RUnlock, nil
}

// Map maps zeroed pages at a free place. Code is written to pages that are writable first, then made executable with
// Protect.
func (b *Box) Map(size int, prot Prot) (uint64, error) { return b.MapAt(0, size, prot) }

// MapAt maps at an address, a multiple of the page size, where nothing is yet; 0: anywhere.
func (b *Box) MapAt(at uint64, size int, prot Prot) (uint64, error) {
	done, err := b.use()
	if err != nil {
		return 0, err
	}
	defer done()
	if size <= 0 {
		return 0, fail(cabi.ErrInvalid, "%d bytes cannot be mapped", size)
	}
	return b.c.Map(at, uint64(size), int(prot))
}

// Protect changes the protection of whole pages. Those that become executable are verified; a refusal is an
// *lfi.VerifyError, and nothing has changed.
func (b *Box) Protect(at uint64, size int, prot Prot) error {
	done, err := b.use()
	if err != nil {
		return err
	}
	defer done()
	if size <= 0 {
		return fail(cabi.ErrInvalid, "%d bytes cannot be protected", size)
	}
	return b.c.Protect(at, uint64(size), int(prot))
}

// Unmap unmaps whole pages; holes are fine.
func (b *Box) Unmap(at uint64, size int) error {
	done, err := b.use()
	if err != nil {
		return err
	}
	defer done()
	if size <= 0 {
		return fail(cabi.ErrInvalid, "%d bytes cannot be unmapped", size)
	}
	return b.c.Unmap(at, uint64(size))
}

// Write copies into the box.
func (b *Box) Write(at uint64, data []byte) error {
	done, err := b.use()
	if err != nil {
		return err
	}
	defer done()
	return b.c.Write(at, data)
}

// Read copies out of the box.
func (b *Box) Read(at uint64, data []byte) error {
	done, err := b.use()
	if err != nil {
		return err
	}
	defer done()
	return b.c.Read(data, at)
}

// Bounds are the box's first address, the lowest that can be mapped, and one past the highest.
func (b *Box) Bounds() (base, low, high uint64, err error) {
	done, err := b.use()
	if err != nil {
		return 0, 0, 0, err
	}
	defer done()
	base, low, high = b.c.Bounds()
	return
}

// Interrupt ends all that is pending in the box, with lfi.ErrInterrupted.
func (b *Box) Interrupt() error {
	done, err := b.use()
	if err != nil {
		return err
	}
	defer done()
	return b.c.Interrupt()
}

// ---- Contexts ----

// Regs are the registers of a context. R14, R15 and gs belong to the sandbox.
type Regs = cabi.Regs

// A Context is a thread of execution in a box.
type Context struct {
	box *Box

	mu      sync.Mutex
	c       cabi.Context // 0: closed
	entered int
}

// NewContext makes a context. It goes with its box.
func (b *Box) NewContext() (*Context, error) {
	if b == nil {
		return nil, closed("box")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return nil, closed("box")
	}
	c, err := b.c.NewContext()
	if err != nil {
		return nil, err
	}
	ctx := &Context{box: b, c: c}
	b.contexts[ctx] = true
	return ctx, nil
}

// Box is the context's box.
func (c *Context) Box() *Box { return c.box }

// with calls f while neither the context nor its box can go.
func (c *Context) with(f func(cabi.Context) error) error {
	if c == nil {
		return closed("context")
	}
	done, err := c.box.use()
	if err != nil {
		return err
	}
	defer done()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.c == 0 {
		return closed("context")
	}
	return f(c.c)
}

// Close frees the context. While it is entered, it is lfi.ErrBusy.
func (c *Context) Close() error {
	if c == nil {
		return nil
	}
	err := c.with(func(raw cabi.Context) error {
		if c.entered > 0 {
			return fail(cabi.ErrBusy, "the context is entered")
		}
		err := raw.Free()
		if err == nil {
			c.c = 0
		}
		return err
	})
	if errors.Is(err, lfi.ErrClosed) {
		return nil
	}
	return err
}

// Regs gives a copy of the registers.
func (c *Context) Regs() (r Regs, err error) {
	err = c.with(func(raw cabi.Context) error {
		r, err = raw.Regs()
		return err
	})
	return
}

// SetRegs replaces them: before a run, or in a handler.
func (c *Context) SetRegs(r Regs) error {
	return c.with(func(raw cabi.Context) error { return raw.SetRegs(&r) })
}

// Exit, in a handler, makes the Run that is under way return the code, once the handler has returned.
func (c *Context) Exit(code int) error {
	return c.with(func(raw cabi.Context) error {
		raw.Exit(code)
		return nil
	})
}

// enter counts who is inside, and says what serves runtime calls meanwhile.
func (c *Context) enter() (handler func(), err error) {
	err = c.with(func(cabi.Context) error {
		c.entered++
		return nil
	})
	if err != nil {
		return nil, err
	}
	e := c.box.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.handler; h != nil {
		handler = func() { h(c) }
	}
	return handler, nil
}

func (c *Context) leave() {
	c.mu.Lock()
	c.entered--
	c.mu.Unlock()
	runtime.KeepAlive(c.box)
}

// Run runs from an address, rounded down to a bundle, until a handler exits, and gives its code.
func (c *Context) Run(at uint64) (int, error) { return c.RunContext(context.Background(), at) }

// RunContext is Run that ends with ctx: with lfi.ErrInterrupted or lfi.ErrDeadline, and what ctx says.
func (c *Context) RunContext(ctx context.Context, at uint64) (code int, err error) {
	handler, err := c.enter()
	if err != nil {
		return 0, err
	}
	defer c.leave()
	err = until(ctx, func(timeout uint64, cancel *cabi.Cancel) error {
		code, err = c.box.c.RunContext(c.box.serial, c.c, at, handler, timeout, cancel)
		return err
	})
	return
}

// until gives f what ends a call with ctx.
func until(ctx context.Context, f func(timeout uint64, cancel *cabi.Cancel) error) error {
	if ctx == nil {
		return fail(cabi.ErrInvalid, "the context.Context is nil")
	}
	if ctx.Done() == nil {
		return f(0, nil)
	}
	var timeout uint64
	if when, ok := ctx.Deadline(); ok {
		timeout = uint64(max(time.Until(when), 1))
	}
	cancel := cabi.NewCancel()
	stop := context.AfterFunc(ctx, func() { cancel.Fire(); cancel.Drop() })
	defer func() {
		if stop() {
			cancel.Drop()
		}
		cancel.Drop()
	}()
	return cabi.WithContext(f(timeout, cancel), ctx)
}

// ---- Calls ----

// A Func is a function of a box, prepared.
type Func struct {
	box    *Box
	c      cabi.Func
	params int
}

// Func prepares calls of what is at an address. The signature is liblfi's: result, then parameters in parentheses, "i(ii)"
// for int (int, int); structs and variable arguments are for package lfi.
func (b *Box) Func(at uint64, signature string) (*Func, error) {
	params, err := scalars(signature)
	if err != nil {
		return nil, err
	}
	done, err := b.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if err := b.c.PrepareCalls(); err != nil {
		return nil, err
	}
	c, err := b.c.NewFunc(at, signature, 0, false)
	if err != nil {
		return nil, err
	}
	return &Func{b, c, params}, nil
}

// scalars counts the parameters of a signature that has numbers and pointers only.
func scalars(signature string) (int, error) {
	n := 0
	for i, letter := range signature {
		switch letter {
		case 'v', 'b', 'B', 'h', 'H', 'i', 'I', 'l', 'L', '?', 'p', 'f', 'd':
			if i > 1 {
				n++
			}
		case '(', ')':
		default:
			return 0, fail(cabi.ErrSignature, "the signature %.40q has '%c' in it: package core has numbers and pointers only",
				signature, letter)
		}
	}
	if n > 64 {
		return 0, fail(cabi.ErrSignature, "%d parameters: 64 are the most", n)
	}
	return n, nil
}

// Call calls the function in a context, whose stack pointer it uses. Arguments and result are 64-bit words: integers, and
// of float and double the bits (math.Float64bits).
func (f *Func) Call(c *Context, args ...uint64) (uint64, error) {
	return f.CallContext(context.Background(), c, args...)
}

// CallContext is Call that ends with ctx.
func (f *Func) CallContext(ctx context.Context, c *Context, args ...uint64) (result uint64, err error) {
	if f == nil || c == nil {
		return 0, closed("function, or the context,")
	}
	if c.box != f.box {
		return 0, fail(cabi.ErrInvalid, "the context is of another box")
	}
	if len(args) != f.params {
		return 0, fail(cabi.ErrInvalid, "a function with %d parameters was called with %d", f.params, len(args))
	}
	handler, err := c.enter()
	if err != nil {
		return 0, err
	}
	defer c.leave()
	buffer := append(append(make([]uint64, 0, len(args)+1), args...), 0)
	err = until(ctx, func(timeout uint64, cancel *cabi.Cancel) error {
		result, err = f.c.CallFully(f.box.serial, buffer, cabi.Options{
			Timeout: timeout, Cancel: cancel, Context: c.c, Handler: handler, Args: len(args)})
		return err
	})
	return
}

// Register lets sandboxed code call a Go function, as one of the signature's type; its address is given. Arguments are
// words as in Call, and hostile. A panic ends the call into the sandbox, and goes on from there.
func (b *Box) Register(signature string, f func(args []uint64) uint64) (uint64, error) {
	if f == nil {
		return 0, fail(cabi.ErrInvalid, "the function is nil")
	}
	params, err := scalars(signature)
	if err != nil {
		return 0, err
	}
	if b == nil {
		return 0, closed("box")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return 0, closed("box")
	}
	return b.c.Register(signature, cabi.WordFunc(params, f), 0)
}

// ---- The verifier ----

// A Violation is a rule that an instruction breaks.
type Violation = cabi.Violation

// Verify looks at code that is to be `offset` bytes from a box's base, in whole bundles, and names at most so many
// violations; none when it may run in a sandbox. It needs no engine.
func Verify(code []byte, offset uint64, options Options, most int) ([]Violation, error) {
	if most < 1 || most > 1<<20 {
		return nil, fail(cabi.ErrInvalid, "%d violations", most)
	}
	return cabi.Verify(code, offset, options.c(), most), nil
}
