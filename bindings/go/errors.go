// SPDX-License-Identifier: MIT

package lfi

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/liblfi/lfi/bindings/go/internal/cabi"
)

// What errors of this package are, for errors.Is.
var (
	// ErrClosed: the sandbox was closed, or given back to its pool.
	ErrClosed = errors.New("lfi: closed")
	// ErrBusy: it is in use: a sandbox with calls in it or with memory that is looked at, a context on another thread.
	ErrBusy = errors.New("lfi: busy")
	// ErrDeadline: a call took longer than it may. Of a call with a context, the error is context.DeadlineExceeded too.
	ErrDeadline = errors.New("lfi: deadline exceeded")
	// ErrInterrupted: a call was interrupted, or the program ended meanwhile. Of a call with a context that was cancelled,
	// the error is the context's too.
	ErrInterrupted = errors.New("lfi: interrupted")
	// ErrFault: sandboxed code trapped; the error is a *FaultError.
	ErrFault = errors.New("lfi: fault")
	// ErrVerify: code that does not verify; the error is a *VerifyError.
	ErrVerify = errors.New("lfi: code does not verify")
	// ErrLimit: a limit of the sandbox.
	ErrLimit = errors.New("lfi: limit exceeded")
	// ErrInvalid: an argument is wrong.
	ErrInvalid = errors.New("lfi: invalid argument")
	// ErrAccess: an address outside the sandbox, or memory in it that is not mapped.
	ErrAccess = errors.New("lfi: no access to this memory")
	// ErrNotFound: no such symbol.
	ErrNotFound = errors.New("lfi: not found")
	// ErrSignature: a Go type that no C function has, or a signature that does not parse.
	ErrSignature = errors.New("lfi: signature")
	// ErrProgram: bytes that are no program for a sandbox, or a program that needs another processor.
	ErrProgram = errors.New("lfi: not a program for a sandbox")
	// ErrNoMemory: no memory in the host or in the sandbox, or no room for another sandbox.
	ErrNoMemory = errors.New("lfi: out of memory")
	// ErrOS: the host's kernel refused something.
	ErrOS = errors.New("lfi: refused by the operating system")
	// ErrUnsupported: not on this machine, or not with these options.
	ErrUnsupported = errors.New("lfi: unsupported")
)

// errCrowded does not leave the package.
var errCrowded = errors.New("lfi: no context for this thread")

var kinds = map[int][]error{
	cabi.ErrInvalid: {ErrInvalid}, cabi.ErrNoMemory: {ErrNoMemory}, cabi.ErrNoSpace: {ErrNoMemory}, cabi.ErrOS: {ErrOS},
	cabi.ErrRange: {ErrAccess}, cabi.ErrUnmapped: {ErrAccess}, cabi.ErrVerify: {ErrVerify},
	cabi.ErrCPU: {ErrProgram, ErrUnsupported}, cabi.ErrELF: {ErrProgram}, cabi.ErrBusy: {ErrBusy}, cabi.ErrFault: {ErrFault},
	cabi.ErrInterrupted: {ErrInterrupted}, cabi.ErrDeadline: {ErrDeadline}, cabi.ErrLimit: {ErrLimit},
	cabi.ErrNotFound: {ErrNotFound}, cabi.ErrSignature: {ErrSignature}, cabi.ErrUnsupported: {ErrUnsupported},
	cabi.ErrClosed: {ErrClosed}, cabi.ErrCrowded: {errCrowded},
}

// An Error is anything that goes wrong with a sandbox. Its text names the value at fault; errors.Is says of which kind it
// is.
type Error struct {
	Message string
	kinds   []error
}

func (e *Error) Error() string { return "lfi: " + e.Message }

// Unwrap gives the kinds of the error: Err… of this package, and what a context said.
func (e *Error) Unwrap() []error { return e.kinds }

// A FaultError says how sandboxed code trapped. Addresses are the host's; those less PC - PCOffset are offsets in the
// sandbox. Trace, like registers in Text, is what hostile code left: it is for messages only.
type FaultError struct {
	// Kind is what it was, for example "guard hit" (a null pointer), "stack overflow", "illegal instruction", "abort".
	Kind string
	// Signal is what the processor or the program raised.
	Signal syscall.Signal
	// Address is that of the access, when there was one.
	Address uint64
	// PC is the instruction's address, PCOffset that in the sandbox.
	PC, PCOffset uint64
	// Symbol is the function that PC is in, SymbolOffset how far in it, as the program's own symbols say.
	Symbol       string
	SymbolOffset uint64
	// Trace has the innermost frame first.
	Trace []Frame
	// Text has all that, with registers, in lines.
	Text string

	message string
}

// A Frame is one of the calls that led to a fault.
type Frame struct {
	Address, Offset uint64
	Symbol          string
	SymbolOffset    uint64
}

func (f Frame) String() string {
	if f.Symbol == "" {
		return fmt.Sprintf("+%#x", f.Offset)
	}
	return fmt.Sprintf("%s+%#x", f.Symbol, f.SymbolOffset)
}

func (e *FaultError) Error() string {
	where := ""
	if e.Symbol != "" {
		where = fmt.Sprintf(" in %s+%#x", e.Symbol, e.SymbolOffset)
	}
	return fmt.Sprintf("lfi: %s%s: %s", e.Kind, where, e.message)
}

// Unwrap makes the error ErrFault.
func (e *FaultError) Unwrap() error { return ErrFault }

// A VerifyError names the first instruction that may not run in a sandbox.
type VerifyError struct {
	// Offset is that of the instruction in the sandbox.
	Offset uint64
	// Instruction is its text, Reason what is wrong with it, and Rule the name of the rule that it breaks.
	Instruction, Reason, Rule string

	message string
}

func (e *VerifyError) Error() string { return "lfi: " + e.message }

// Unwrap makes the error ErrVerify.
func (e *VerifyError) Unwrap() error { return ErrVerify }

func init() {
	cabi.MakeError = makeError
	cabi.WithContext = withContext
}

func makeError(f *cabi.Failure) error {
	switch {
	case f.Fault != nil:
		return faultError(f)
	case f.Code == cabi.ErrVerify:
		return verifyError(f)
	}
	return &Error{f.Message, kinds[f.Code]}
}

func faultError(f *cabi.Failure) error {
	e := &FaultError{
		Kind: f.Fault.Kind, Signal: syscall.Signal(f.Fault.Signal), Address: f.Fault.Address, PC: f.Fault.PC,
		PCOffset: f.Fault.PCOffset, Symbol: f.Fault.Symbol, SymbolOffset: f.Fault.SymbolOffset,
		Text: f.Fault.Text, message: f.Message,
	}
	for _, place := range f.Fault.Trace {
		e.Trace = append(e.Trace, Frame(place))
	}
	return e
}

// "verification failed at 0x11f0: `mov (%rax), %rax`: memory operand is not sandboxed"
var verdict = regexp.MustCompile("at (0x[0-9a-f]+): `(.*)`: (.*)")

func verifyError(f *cabi.Failure) error {
	e := &VerifyError{message: f.Message}
	if m := verdict.FindStringSubmatch(f.Message); m != nil {
		at, _ := strconv.ParseUint(m[1], 0, 64)
		e.Offset, e.Instruction, e.Reason = at&0xffffffff, m[2], strings.TrimSpace(m[3])
	}
	return e
}

func fail(kind error, format string, args ...any) error {
	return &Error{fmt.Sprintf(format, args...), []error{kind}}
}

// withContext adds what a context says to the error of a call that the context has ended.
func withContext(err error, ctx context.Context) error {
	var e *Error
	if ctx.Err() == nil && !errors.Is(err, ErrDeadline) || !errors.As(err, &e) {
		return err
	}
	if !errors.Is(e, ErrDeadline) && !errors.Is(e, ErrInterrupted) {
		return err
	}
	return &Error{e.Message, append(contextErrors(ctx), e.kinds...)}
}

// contextErrors are what the error of a call with this context is, too. liblfi's clock may be ahead of the context's.
func contextErrors(ctx context.Context) []error {
	err := ctx.Err()
	if err == nil {
		return []error{context.DeadlineExceeded}
	}
	list := []error{err}
	if errors.Is(err, context.DeadlineExceeded) {
		list = append(list, ErrDeadline)
	}
	if cause := context.Cause(ctx); cause != err {
		list = append(list, cause)
	}
	return list
}
