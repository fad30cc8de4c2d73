// SPDX-License-Identifier: MIT

package lfi

import (
	"reflect"
	"strings"
	"unsafe"

	"github.com/liblfi/lfi/bindings/go/internal/cabi"
)

// callback is a Go function that a sandbox may call. Clones of the sandbox get it at the same address.
type callback struct {
	at   Ptr
	kind *callbackType
	make func(*instance) func(args, result unsafe.Pointer)
}

// callbackType is the C type of a callback.
type callbackType struct {
	params    []param
	result    param
	signature string
}

func callbackKind(result reflect.Type, params []reflect.Type) (*callbackType, error) {
	k := &callbackType{}
	var err error
	if k.result, err = resultOf(result); err != nil {
		return nil, fail(ErrSignature, "a callback: %v", err)
	}
	if k.result.form > structure {
		return nil, fail(ErrSignature, "a callback that returns %v: whose memory would it be? Return a Ptr", result)
	}
	var signature strings.Builder
	signature.WriteString(k.result.signature() + "(")
	for i, t := range params {
		p, err := paramOf(t)
		if err == nil && p.form > structure {
			err = fail(ErrSignature, "%v: take a Ptr, and Text or Bytes", t)
		}
		if err != nil {
			return nil, fail(ErrSignature, "a callback: parameter %d: %v", i+1, err)
		}
		k.params = append(k.params, p)
		signature.WriteString(p.signature())
	}
	if len(params) > maxParams {
		return nil, fail(ErrSignature, "a callback with %d parameters: %d are the most", len(params), maxParams)
	}
	signature.WriteString(")")
	k.signature = signature.String()
	return k, nil
}

// take copies argument i to where `to` leads. The words are liblfi's copies, which nobody else writes.
func (k *callbackType) take(i int, args, to unsafe.Pointer) {
	p := &k.params[i]
	word := unsafe.Add(args, 8*i)
	if p.form != structure {
		store(p.letter, to, *(*uint64)(word))
		return
	}
	copy(unsafe.Slice((*byte)(to), p.size), unsafe.Slice(*(**byte)(word), p.size))
	p.plain.tidy(to)
}

// give copies a result to where liblfi wants it.
func (k *callbackType) give(result, from unsafe.Pointer) {
	switch {
	case k.result.letter == 'v':
	case k.result.form == structure:
		copy(unsafe.Slice(*(**byte)(result), k.result.size), unsafe.Slice((*byte)(from), k.result.size))
	default:
		*(*uint64)(result) = load(k.result.letter, from)
	}
}

func (l *Library) register(k *callbackType, make func(*instance) func(args, result unsafe.Pointer)) (Ptr, error) {
	if l == nil || l.instance == nil {
		return 0, fail(ErrClosed, "there is no library: it is nil")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life != l.serial {
		return 0, fail(ErrClosed, "%s is closed", l.name)
	}
	at, err := l.box.Register(k.signature, cabi.HostFunc(make(l.instance)), 0)
	if err != nil {
		return 0, err
	}
	l.callbacks = append(l.callbacks, callback{Ptr(at), k, make})
	return Ptr(at), nil
}

var libraryType = reflect.TypeFor[*Library]()

// Callback lets sandboxed code call a Go function: func(int32) int32, for example. The pointer can be passed where C
// wants a pointer to a function of that type. Parameters are numbers, Ptr and structs; the result is one, or nothing. When
// the first parameter is a *Library, it is the one whose code has called.
//
// What sandboxed code passes is hostile: check it. A panic ends the call into the sandbox and goes on in Go from there.
// The function must not end its goroutine (runtime.Goexit, t.FailNow): that ends the process. It is kept until the
// library is closed or Uncallback takes it back; a sandbox has room for about a thousand.
func (l *Library) Callback(f any) (Ptr, error) {
	v := reflect.ValueOf(f)
	if !v.IsValid() || v.Kind() != reflect.Func || v.IsNil() || v.Type().IsVariadic() || v.Type().NumOut() > 1 {
		return 0, fail(ErrInvalid, "a callback of type %T: it is no function with at most one result, or nil", f)
	}
	t := v.Type()
	result, params := voidType, []reflect.Type{}
	if t.NumOut() == 1 {
		result = t.Out(0)
	}
	withLibrary := t.NumIn() > 0 && t.In(0) == libraryType
	for i := 0; i < t.NumIn(); i++ {
		if i > 0 || !withLibrary {
			params = append(params, t.In(i))
		}
	}
	k, err := callbackKind(result, params)
	if err != nil {
		return 0, err
	}
	return l.register(k, func(i *instance) func(args, result unsafe.Pointer) {
		if !withLibrary {
			i = nil // or the instance would be kept by its own callback
		}
		return func(args, result unsafe.Pointer) { k.reflected(v, i, args, result) }
	})
}

func (k *callbackType) reflected(f reflect.Value, i *instance, args, result unsafe.Pointer) {
	var values []reflect.Value
	if i != nil {
		values = append(values, reflect.ValueOf(&Library{i, i.box.Serial()}))
	}
	for n := range k.params {
		value := reflect.New(f.Type().In(len(values)))
		k.take(n, args, value.UnsafePointer())
		values = append(values, value.Elem())
	}
	out := f.Call(values)
	if len(out) == 1 {
		value := reflect.New(out[0].Type())
		value.Elem().Set(out[0])
		k.give(result, value.UnsafePointer())
	}
}

// Uncallback takes a callback back; sandboxed code that still calls it faults.
func (l *Library) Uncallback(p Ptr) error {
	if l == nil || l.instance == nil {
		return fail(ErrClosed, "there is no library: it is nil")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life != l.serial {
		return fail(ErrClosed, "%s is closed", l.name)
	}
	if err := l.box.Unregister(uint64(p)); err != nil {
		return err
	}
	for i := range l.callbacks {
		if l.callbacks[i].at == p {
			l.callbacks = append(l.callbacks[:i], l.callbacks[i+1:]...)
			break
		}
	}
	return nil
}
