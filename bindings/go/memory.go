// SPDX-License-Identifier: MIT

package lfi

import (
	"bytes"
	"math/bits"
	"reflect"
	"sync"
	"unsafe"

	"github.com/liblfi/lfi/bindings/go/internal/cabi"
)

// A Ptr is a pointer of sandboxed code: a number that means something in its sandbox only. 0 is the null pointer. Each
// access through one is checked, so one that sandboxed code made up leads to ErrAccess.
type Ptr uint64

// offset is the one of the two forms that Go keeps.
func offset(at uint64) Ptr { return Ptr(at & 0xffffffff) }

// Most bytes of a string that is copied out.
const maxString = 1 << 20

// Alloc gives zeroed memory of the sandbox, aligned to 16 bytes. It stays until Free, or until the sandbox goes.
func (l *Library) Alloc(size int) (Ptr, error) {
	done, err := l.use()
	if err != nil {
		return 0, err
	}
	defer done()
	return l.allocZeroed(size)
}

func (i *instance) allocZeroed(size int) (Ptr, error) {
	p, old, err := i.arena.alloc(size)
	if err == nil && old {
		err = i.box.Write(uint64(p), make([]byte, size))
	}
	return p, err
}

// Free gives back what Alloc, New or NewString gave.
func (l *Library) Free(p Ptr) error {
	done, err := l.use()
	if err != nil {
		return err
	}
	defer done()
	return l.arena.free(p)
}

// Bytes copies n bytes out.
func (l *Library) Bytes(p Ptr, n int) ([]byte, error) {
	done, err := l.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if err := l.inside(p, n); err != nil {
		return nil, err
	}
	data := make([]byte, n)
	return data, l.box.Read(data, uint64(p))
}

// inside refuses sizes before there is memory for them.
func (i *instance) inside(p Ptr, n int) error {
	if n < 0 || uint64(n) > 1<<32 || uint64(offset(uint64(p)))+uint64(n) > 1<<32 {
		return fail(ErrAccess, "%d bytes at %#x are not in a sandbox", n, uint64(p))
	}
	return nil
}

// Read fills data from the sandbox.
func (l *Library) Read(p Ptr, data []byte) error {
	done, err := l.use()
	if err != nil {
		return err
	}
	defer done()
	return l.box.Read(data, uint64(p))
}

// Write copies data into the sandbox. How much room there is at p only the caller knows.
func (l *Library) Write(p Ptr, data []byte) error {
	done, err := l.use()
	if err != nil {
		return err
	}
	defer done()
	return l.box.Write(uint64(p), data)
}

// View calls f with memory of the sandbox itself. Meanwhile the sandbox can neither unmap nor protect it, and cannot be
// closed; it can write it at any time, so copy before you check. Once f has returned the slice must not be used.
func (l *Library) View(p Ptr, n int, f func(memory []byte) error) error {
	memory, err := l.pin(p, n)
	if err != nil {
		return err
	}
	defer l.unpin(p, n)
	return f(memory)
}

func (l *Library) pin(p Ptr, n int) ([]byte, error) {
	done, err := l.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if err := l.inside(p, n); err != nil {
		return nil, err
	}
	var memory []byte
	if n > 0 {
		if memory, err = l.box.Pin(uint64(p), uint64(n), true); err != nil {
			return nil, err
		}
	}
	l.viewMu.Lock()
	l.views++
	l.viewMu.Unlock()
	return memory, nil
}

// With a view open, no life has ended.
func (l *Library) unpin(p Ptr, n int) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if n > 0 {
		l.box.Unpin(uint64(p), uint64(n))
	}
	l.viewMu.Lock()
	l.views--
	l.viewMu.Unlock()
}

// Text copies a NUL-terminated string out, of at most 1 MiB.
func (l *Library) Text(p Ptr) (string, error) {
	done, err := l.use()
	if err != nil {
		return "", err
	}
	defer done()
	return l.text(p)
}

func (i *instance) text(p Ptr) (string, error) {
	for room := 256; ; room = maxString + 1 {
		data := make([]byte, room)
		n, err := i.box.String(data, uint64(p))
		if err == nil {
			return string(data[:n]), nil
		}
		if room > maxString {
			return "", err
		}
	}
}

// NewText copies a string into the sandbox, with a NUL at its end; Free gives the memory back.
func (l *Library) NewText(s string) (Ptr, error) {
	done, err := l.use()
	if err != nil {
		return 0, err
	}
	defer done()
	if bytes.IndexByte(unsafe.Slice(unsafe.StringData(s), len(s)), 0) >= 0 {
		return 0, fail(ErrInvalid, "a string of %d bytes has a NUL in it", len(s))
	}
	p, _, err := l.arena.alloc(len(s) + 1)
	if err != nil {
		return 0, err
	}
	if err := l.box.Write(uint64(p), append([]byte(s), 0)); err != nil {
		l.arena.free(p) // it was given just now
		return 0, err
	}
	return p, nil
}

// New copies a value into memory of the sandbox; Free gives that back. T is a number, a Ptr, or an array or struct of
// such; see CheckLayout.
func New[T any](l *Library, value T) (Ptr, error) {
	p, err := NewSlice(l, []T{value})
	return p, err
}

// NewSlice copies values into an array in the sandbox; Free gives that back.
func NewSlice[T any](l *Library, values []T) (Ptr, error) {
	if err := checkPlain(reflect.TypeFor[T]()); err != nil {
		return 0, err
	}
	done, err := l.use()
	if err != nil {
		return 0, err
	}
	defer done()
	size := uintptr(len(values)) * unsafe.Sizeof(*new(T))
	p, _, err := l.arena.alloc(int(size))
	if err != nil {
		return 0, err
	}
	return p, l.box.WriteAt(uint64(p), unsafe.Pointer(unsafe.SliceData(values)), size)
}

// Get copies a value out of the sandbox.
func Get[T any](l *Library, p Ptr) (T, error) {
	var values [1]T
	err := GetSlice(l, p, values[:])
	return values[0], err
}

// GetSlice fills values from an array in the sandbox.
func GetSlice[T any](l *Library, p Ptr, values []T) error {
	if err := checkPlain(reflect.TypeFor[T]()); err != nil {
		return err
	}
	done, err := l.use()
	if err != nil {
		return err
	}
	defer done()
	err = l.box.ReadAt(unsafe.Pointer(unsafe.SliceData(values)), uintptr(len(values))*unsafe.Sizeof(*new(T)), uint64(p))
	tidy(values)
	return err
}

// Set copies a value to where p leads.
func Set[T any](l *Library, p Ptr, value T) error {
	if err := checkPlain(reflect.TypeFor[T]()); err != nil {
		return err
	}
	done, err := l.use()
	if err != nil {
		return err
	}
	defer done()
	return l.box.WriteAt(uint64(p), unsafe.Pointer(&value), unsafe.Sizeof(value))
}

// ---- The allocator ----

const (
	smallest = 16       // bytes of a block
	chunk    = 65536    // bytes taken from the sandbox at a time
	keep     = 64 << 20 // bytes of freed blocks larger than a chunk that are kept
)

// arena has blocks of a sandbox's memory for the host, in sizes that are powers of two. The sandbox sees none of the
// books, so it cannot corrupt them.
type arena struct {
	box       *cabi.Box
	mu        sync.Mutex
	blocks    [33][]Ptr // by the logarithm of the size
	sizes     map[Ptr]int
	kept      int
	next, end Ptr
}

// alloc gives a block of at least size bytes; old says that its contents are not zeros.
func (a *arena) alloc(size int) (p Ptr, old bool, err error) {
	if size < 0 || uint64(size) > 1<<31 {
		return 0, false, fail(ErrNoMemory, "%d bytes do not fit a sandbox", size)
	}
	class := bits.Len(uint(max(size, smallest) - 1))
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.blocks[class]); n > 0 {
		p, old = a.blocks[class][n-1], true
		a.blocks[class] = a.blocks[class][:n-1]
		if 1<<class > chunk {
			a.kept -= 1 << class
		}
	} else if p, err = a.fresh(1 << class); err != nil {
		return 0, false, err
	}
	if a.sizes == nil {
		a.sizes = map[Ptr]int{}
	}
	a.sizes[p] = class
	return p, old, nil
}

func (a *arena) fresh(size int) (Ptr, error) {
	if size > chunk {
		at, err := a.box.Map(0, uint64(size), cabi.Read|cabi.Write)
		return offset(at), err
	}
	if a.next+Ptr(size) > a.end {
		at, err := a.box.Map(0, chunk, cabi.Read|cabi.Write)
		if err != nil {
			return 0, err
		}
		a.next, a.end = offset(at), offset(at)+chunk
	}
	p := a.next
	a.next += Ptr(size)
	return p, nil
}

func (a *arena) free(p Ptr) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	class, ok := a.sizes[p]
	if !ok {
		return fail(ErrInvalid, "nothing that was allocated begins at %#x", uint64(p))
	}
	delete(a.sizes, p)
	size := 1 << class
	if size > chunk {
		if a.kept+size > keep {
			return a.box.Unmap(uint64(p), uint64(size))
		}
		a.kept += size
	}
	a.blocks[class] = append(a.blocks[class], p)
	return nil
}

// mark is what an arena was when a snapshot was made.
type arenaMark struct {
	blocks    [33][]Ptr
	sizes     map[Ptr]int
	kept      int
	next, end Ptr
}

func (a *arena) mark() arenaMark {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := arenaMark{sizes: map[Ptr]int{}, kept: a.kept, next: a.next, end: a.end}
	for i, list := range a.blocks {
		m.blocks[i] = append([]Ptr(nil), list...)
	}
	for p, class := range a.sizes {
		m.sizes[p] = class
	}
	return m
}

func (a *arena) reset(m *arenaMark) {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.sizes)
	for p, class := range m.sizes {
		a.sizes[p] = class
	}
	for i := range a.blocks {
		a.blocks[i] = append(a.blocks[i][:0], m.blocks[i]...)
	}
	a.kept, a.next, a.end = m.kept, m.next, m.end
}
