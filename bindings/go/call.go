// SPDX-License-Identifier: MIT

package lfi

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/liblfi/lfi/bindings/go/internal/cabi"
)

// Void is the result of a C function that has none.
type Void struct{}

// InOut is bytes that a call copies into the sandbox, and back when it has returned: a C parameter like `char *`. Of a
// plain []byte, which is like `const char *`, changes stay in the sandbox.
type InOut []byte

// form is what is made of a Go value.
type form byte

const (
	scalar form = iota
	structure
	text   // a string: with a NUL, in memory of the sandbox for the time of the call
	octets // []byte
	inOut
)

// param is a parameter or a result.
type param struct {
	form   form
	letter byte
	size   uintptr // of a struct
	plain  *plain
}

var (
	voidType  = reflect.TypeFor[Void]()
	bytesType = reflect.TypeFor[[]byte]()
	inOutType = reflect.TypeFor[InOut]()
)

// Most parameters of a function.
const maxParams = 64

func paramOf(t reflect.Type) (param, error) {
	switch {
	case t.Kind() == reflect.String:
		return param{form: text, letter: 'p'}, nil
	case t == bytesType:
		return param{form: octets, letter: 'p'}, nil
	case t == inOutType:
		return param{form: inOut, letter: 'p'}, nil
	case t.Kind() == reflect.Array:
		return param{}, fail(ErrSignature, "%v: C passes no arrays by value", t)
	}
	p := plainOf(t)
	if p.err != nil {
		return param{}, p.err
	}
	if t.Kind() == reflect.Struct {
		return param{structure, '{', t.Size(), p}, nil
	}
	return param{form: scalar, letter: p.signature[0], plain: p}, nil
}

func resultOf(t reflect.Type) (param, error) {
	if t == voidType {
		return param{letter: 'v'}, nil
	}
	p, err := paramOf(t)
	if err == nil && (p.form == octets || p.form == inOut) {
		return param{}, fail(ErrSignature, "a result of type %v: how many bytes are there? Use Ptr, and Bytes", t)
	}
	return p, err
}

func (p *param) signature() string {
	if p.form == structure {
		return p.plain.signature
	}
	return string(p.letter)
}

// load is the word that C gets.
func load(letter byte, from unsafe.Pointer) uint64 {
	switch letter {
	case 'i':
		return uint64(int64(*(*int32)(from)))
	case 'I', 'f':
		return uint64(*(*uint32)(from))
	case 'b':
		return uint64(int64(*(*int8)(from)))
	case 'B', '?':
		return uint64(*(*uint8)(from))
	case 'h':
		return uint64(int64(*(*int16)(from)))
	case 'H':
		return uint64(*(*uint16)(from))
	default:
		return *(*uint64)(from)
	}
}

// store is its opposite; what it stores to is of the letter's type.
func store(letter byte, to unsafe.Pointer, word uint64) {
	switch letter {
	case 'i', 'I', 'f':
		*(*uint32)(to) = uint32(word)
	case 'b', 'B':
		*(*uint8)(to) = uint8(word)
	case '?':
		*(*bool)(to) = word != 0
	case 'h', 'H':
		*(*uint16)(to) = uint16(word)
	case 'p':
		*(*Ptr)(to) = offset(word)
	case 'v':
	default:
		*(*uint64)(to) = word
	}
}

// ---- Preparing ----

// function is a prepared function of a sandbox. It stays as long as that.
type function struct {
	fn      cabi.Func
	name    string
	params  []param
	result  param
	letters [6]byte // of the first parameters, side by side for call
	simple  bool    // up to six scalars, in one crossing and without memory
}

type fnKey struct {
	name string
	typ  reflect.Type // a func type, or of a Func…
}

// prepare finds or makes a function. The type stands for the others.
func prepare(l *Library, name string, typ, result reflect.Type, params ...reflect.Type) (bound, error) {
	done, err := l.use()
	if err != nil {
		return bound{}, err
	}
	defer done()
	l.fnMu.RLock()
	f := l.fns[fnKey{name, typ}]
	l.fnMu.RUnlock()
	if f == nil {
		if f, err = l.newFunction(name, result, params); err != nil {
			return bound{}, err
		}
		l.fnMu.Lock()
		if l.fns == nil {
			l.fns = map[fnKey]*function{}
		}
		l.fns[fnKey{name, typ}] = f
		l.fnMu.Unlock()
	}
	return bound{f, l}, nil
}

func (i *instance) newFunction(name string, result reflect.Type, params []reflect.Type) (*function, error) {
	f := &function{name: name, simple: len(params) <= 6}
	at, err := i.symbol(name)
	if err != nil {
		return nil, err
	}
	var structs uint64
	var signature strings.Builder
	if f.result, err = resultOf(result); err != nil {
		return nil, fail(ErrSignature, "%s: %v", name, err)
	}
	signature.WriteString(f.result.signature() + "(")
	for n, t := range params {
		p, err := paramOf(t)
		if err != nil {
			return nil, fail(ErrSignature, "%s: parameter %d: %v", name, n+1, err)
		}
		if p.form == structure {
			structs |= 1 << n
		}
		f.simple = f.simple && p.form == scalar
		f.params = append(f.params, p)
		if n < len(f.letters) {
			f.letters[n] = p.letter
		}
		signature.WriteString(p.signature())
	}
	signature.WriteString(")")
	f.simple = f.simple && f.result.form == scalar
	f.fn, err = i.box.NewFunc(uint64(at), signature.String(), structs, f.result.form == structure)
	return f, err
}

// ---- Calling ----

// bound is a function with the library that it is called in.
type bound struct {
	f   *function
	lib *Library
}

// Name is the function's name.
func (b bound) Name() string {
	if b.f == nil {
		return ""
	}
	return b.f.name
}

// call calls without a context. result and args lead to values of the types that it was prepared with.
func (b bound) call(result unsafe.Pointer, args ...unsafe.Pointer) error {
	if b.f == nil {
		return unprepared()
	}
	if !b.f.simple {
		return b.callFully(context.Background(), result, args)
	}
	var words [6]uint64
	for i := range args {
		words[i] = load(b.f.letters[i], args[i])
	}
	var word uint64
	var err error
	if len(args) <= 3 {
		word, err = b.f.fn.CallFew(b.lib.serial, words[0], words[1], words[2])
	} else {
		word, err = b.f.fn.Call(b.lib.serial, &words)
	}
	runtime.KeepAlive(b.lib)
	if err != nil {
		if crowded(err) {
			return b.callFully(context.Background(), result, args)
		}
		return err
	}
	store(b.f.result.letter, result, word)
	return nil
}

func unprepared() error {
	return fail(ErrInvalid, "a function that was not prepared: Func0 and the others make one")
}

// crowded: the thread has no context in the sandbox, and gets none of its own.
func crowded(err error) bool {
	var e *Error
	return errors.As(err, &e) && len(e.kinds) == 1 && e.kinds[0] == errCrowded
}

// callContext calls with a context, which may end the call.
func (b bound) callContext(ctx context.Context, result unsafe.Pointer, args ...unsafe.Pointer) error {
	if b.f == nil {
		return unprepared()
	}
	if ctx == nil {
		return fail(ErrInvalid, "%s: the context is nil", b.f.name)
	}
	if ctx.Err() != nil {
		return &Error{b.f.name + ": the context was over before the call: " + ctx.Err().Error(),
			append(contextErrors(ctx), ErrInterrupted)}
	}
	return b.callFully(ctx, result, args)
}

// buffers are for calls that need memory.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

// callFully calls with anything that a call can have.
func (b bound) callFully(ctx context.Context, result unsafe.Pointer, args []unsafe.Pointer) error {
	m := buffers.Get().(*buffer)
	defer m.put()
	if err := m.fill(b, args); err != nil {
		return err
	}
	defer m.free(b.lib)
	o := cabi.Options{Args: len(args), NCopies: m.ncopies}
	if ctx.Done() != nil {
		o.Timeout = deadline(ctx)
		o.Cancel = cabi.NewCancel()
		cancel := o.Cancel
		stop := context.AfterFunc(ctx, func() { cancel.Fire(); cancel.Drop() })
		defer func() {
			if stop() {
				cancel.Drop()
			}
			cancel.Drop()
		}()
	}
	word, err := b.f.fn.CallFully(b.lib.serial, m.words, o)
	if err != nil && crowded(err) {
		word, err = b.callLent(ctx, m, o)
	}
	runtime.KeepAlive(b.lib)
	if err != nil {
		return withContext(err, ctx)
	}
	return m.finish(b, word, result, args)
}

func (b bound) callLent(ctx context.Context, m *buffer, o cabi.Options) (uint64, error) {
	lent, err := b.lib.lent.take(ctx, b.lib)
	if err != nil {
		return 0, err
	}
	defer b.lib.lent.give(lent)
	o.Context = lent.ctx
	return b.f.fn.CallFully(b.lib.serial, m.words, o)
}

// buffer is what a call passes to C, as shim.h describes it: words of arguments, that of the result, copies, then bytes.
type buffer struct {
	words   []uint64
	ncopies int
	blocks  []Ptr // of the sandbox, for the time of the call
	used    int   // bytes
}

func (m *buffer) put() {
	if cap(m.words) <= 8192 {
		buffers.Put(m)
	}
}

func (m *buffer) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(m.words))), len(m.words)*8)
}

// octetsOf is the bytes of a []byte, InOut or string argument, and whether there are any.
func octetsOf(p *param, arg unsafe.Pointer) (data []byte, null bool) {
	if p.form == text {
		s := *(*string)(arg)
		return unsafe.Slice(unsafe.StringData(s), len(s)), false
	}
	data = *(*[]byte)(arg)
	return data, data == nil
}

func (m *buffer) fill(b bound, args []unsafe.Pointer) error {
	m.blocks = m.blocks[:0]
	m.ncopies = 0
	m.used = 8 * (len(args) + 1)
	room := uintptr(m.used)
	for i := range args {
		p := &b.f.params[i]
		switch p.form {
		case structure:
			room += (p.size + 7) &^ 7
		case text, octets, inOut:
			data, null := octetsOf(p, args[i])
			if !null {
				m.ncopies++
				room += (uintptr(len(data))+1+7)&^7 + unsafe.Sizeof(cabi.Copy{})
			}
		}
	}
	m.used += m.ncopies * int(unsafe.Sizeof(cabi.Copy{}))
	room += (b.f.result.size + 7) &^ 7
	if n := int(room / 8); cap(m.words) < n {
		m.words = make([]uint64, n)
	} else {
		m.words = m.words[:n]
	}
	m.ncopies = 0
	for i, arg := range args {
		if err := m.add(b, i, arg); err != nil {
			m.free(b.lib)
			return err
		}
	}
	m.words[len(args)] = uint64(m.used)
	clear(m.bytes()[m.used:])
	return nil
}

func (m *buffer) add(b bound, i int, arg unsafe.Pointer) error {
	p := &b.f.params[i]
	switch p.form {
	case scalar:
		m.words[i] = load(p.letter, arg)
		return nil
	case structure:
		m.words[i] = m.append(unsafe.Slice((*byte)(arg), p.size), 0)
		return nil
	}
	data, null := octetsOf(p, arg)
	if null {
		m.words[i] = 0
		return nil
	}
	extra := 0
	if p.form == text {
		if strings.IndexByte(unsafe.String(unsafe.SliceData(data), len(data)), 0) >= 0 {
			return fail(ErrInvalid, "%s: argument %d is a string with a NUL in it", b.f.name, i+1)
		}
		extra = 1
	}
	return m.lay(b, i, data, extra)
}

// append puts bytes at the buffer's end, and zeros after them.
func (m *buffer) append(data []byte, zeros int) uint64 {
	at := m.used
	m.used += (len(data) + zeros + 7) &^ 7
	clear(m.bytes()[at+len(data) : m.used])
	copy(m.bytes()[at:], data)
	return uint64(at)
}

// lay has the call copy bytes into memory of the sandbox, which argument i then leads to.
func (m *buffer) lay(b bound, i int, data []byte, zeros int) error {
	done, err := b.lib.use()
	if err != nil {
		return err
	}
	defer done()
	to, _, err := b.lib.arena.alloc(len(data) + zeros)
	if err != nil {
		return err
	}
	m.blocks = append(m.blocks, to)
	m.words[i] = uint64(to)
	copies := unsafe.Slice((*cabi.Copy)(unsafe.Pointer(&m.words[len(b.f.params)+1])), m.ncopies+1)
	copies[m.ncopies] = cabi.Copy{To: uint64(to), From: m.append(data, zeros), Size: uint64(len(data) + zeros)}
	m.ncopies++
	return nil
}

func (m *buffer) free(l *Library) {
	if len(m.blocks) == 0 {
		return
	}
	done, err := l.use()
	if err != nil {
		return // it has gone with its sandbox
	}
	defer done()
	for _, p := range m.blocks {
		l.arena.free(p) // the sandbox may have taken the memory away itself
	}
	m.blocks = m.blocks[:0]
}

// finish brings the result out, and what InOut arguments have become.
func (m *buffer) finish(b bound, word uint64, result unsafe.Pointer, args []unsafe.Pointer) error {
	for i := range args {
		if b.f.params[i].form == inOut {
			if err := b.lib.Read(Ptr(m.words[i]), *(*[]byte)(args[i])); err != nil {
				return err
			}
		}
	}
	r := &b.f.result
	switch r.form {
	case structure:
		at := m.words[len(args)]
		copy(unsafe.Slice((*byte)(result), r.size), m.bytes()[at:])
		r.plain.tidy(result)
	case text:
		if word == 0 {
			return nil
		}
		s, err := b.lib.Text(offset(word))
		if err != nil {
			return err
		}
		*(*string)(result) = s
	default:
		store(r.letter, result, word)
	}
	return nil
}

// ---- Any number of parameters ----

// A FnN is a function of a sandbox whose parameters are the fields of a struct, or the items of an array; prepared by
// FuncN.
type FnN[R, Args any] struct {
	bound
	offsets []uintptr
}

// FuncN prepares calls of a function with any number of parameters, up to 64: Args is a struct with a field for each, in
// their order, or an array when they are all of one type.
func FuncN[R, Args any](l *Library, name string) (FnN[R, Args], error) {
	t := reflect.TypeFor[Args]()
	var params []reflect.Type
	var offsets []uintptr
	switch {
	case t.Kind() == reflect.Struct && t.NumField() <= maxParams:
		for i := 0; i < t.NumField(); i++ {
			params = append(params, t.Field(i).Type)
			offsets = append(offsets, t.Field(i).Offset)
		}
	case t.Kind() == reflect.Array && t.Len() <= maxParams:
		for i := 0; i < t.Len(); i++ {
			params = append(params, t.Elem())
			offsets = append(offsets, uintptr(i)*t.Elem().Size())
		}
	default:
		return FnN[R, Args]{}, fail(ErrSignature, "%s: %v is no struct and no array of up to %d parameters", name, t, maxParams)
	}
	b, err := prepare(l, name, reflect.TypeFor[func(Args, FnN[R, Args])](), reflect.TypeFor[R](), params...)
	return FnN[R, Args]{b, offsets}, err
}

func (fn FnN[R, Args]) pointers(args *Args) []unsafe.Pointer {
	list := make([]unsafe.Pointer, len(fn.offsets))
	for i, at := range fn.offsets {
		list[i] = unsafe.Add(unsafe.Pointer(args), at)
	}
	return list
}

// Call calls it.
func (fn FnN[R, Args]) Call(args Args) (result R, err error) {
	err = fn.call(unsafe.Pointer(&result), fn.pointers(&args)...)
	return
}

// CallContext calls it until the context is over, as that of Fn0 and the others.
func (fn FnN[R, Args]) CallContext(ctx context.Context, args Args) (result R, err error) {
	err = fn.callContext(ctx, unsafe.Pointer(&result), fn.pointers(&args)...)
	return
}

// ---- Contexts for threads that have none ----

// Contexts of a sandbox that are lent.
const mostLent = 16

// loan is a context that is lent for one call.
type loan struct {
	ctx  cabi.Context
	life uint64
}

// lender lends contexts of a sandbox.
type lender struct {
	mu   sync.Mutex
	box  *cabi.Box
	free chan loan     // nil: none was made in this life
	over chan struct{} // closed at its end
	made int
}

// forget ends a life; nobody is inside.
func (l *lender) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over != nil {
		close(l.over)
	}
	l.free, l.over, l.made = nil, nil, 0
}

func (l *lender) take(ctx context.Context, lib *Library) (loan, error) {
	l.mu.Lock()
	if l.free == nil {
		l.free, l.over = make(chan loan, mostLent), make(chan struct{})
	}
	free, over := l.free, l.over
	if len(free) == 0 && l.made < mostLent {
		l.made++
		l.mu.Unlock()
		return l.make(lib)
	}
	l.mu.Unlock()
	select {
	case lent := <-free:
		return lent, nil
	case <-over:
		return loan{}, fail(ErrClosed, "%s is closed", lib.name)
	case <-ctx.Done():
		return loan{}, &Error{"a call waited for a context in " + lib.name + ": " + ctx.Err().Error(),
			append(contextErrors(ctx), ErrInterrupted)}
	}
}

// make makes a context on a thread that never ends, for contexts go with the thread that they were made for.
func (l *lender) make(lib *Library) (lent loan, err error) {
	onKeeper(func() {
		done, closed := lib.use()
		if closed != nil {
			err = closed
			return
		}
		defer done()
		lent.life = lib.serial
		lent.ctx, err = l.box.Lend()
	})
	if err != nil {
		l.mu.Lock()
		l.made--
		l.mu.Unlock()
	}
	return lent, err
}

// give takes a context back, unless its life is over.
func (l *lender) give(lent loan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free != nil && l.box.Serial() == lent.life {
		l.free <- lent // there is room for all that were made
	}
}

var keeper struct {
	once sync.Once
	work chan func()
}

// onKeeper runs f on a thread that never ends.
func onKeeper(f func()) {
	keeper.once.Do(func() {
		keeper.work = make(chan func())
		go func() {
			runtime.LockOSThread()
			for work := range keeper.work {
				work()
			}
		}()
	})
	finished := make(chan struct{})
	keeper.work <- func() {
		defer close(finished)
		f()
	}
	<-finished
}
