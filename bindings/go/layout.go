// SPDX-License-Identifier: MIT

package lfi

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unsafe"
)

// plain is what is known of a Go type that C has, too: numbers, bool, Ptr, and arrays and structs of such, which Go lays
// out as the psABI does.
type plain struct {
	err       error
	signature string    // for lfi_fn_new
	bools     []uintptr // where they are: what comes from a sandbox may be neither 0 nor 1
	cells     []cell
}

// cell is one scalar in a type.
type cell struct {
	offset, size uintptr
	letter       byte
}

var plains sync.Map // reflect.Type to *plain

func plainOf(t reflect.Type) *plain {
	if known, ok := plains.Load(t); ok {
		return known.(*plain)
	}
	p := &plain{}
	p.signature, p.err = p.describe(t, 0)
	plains.Store(t, p)
	return p
}

func checkPlain(t reflect.Type) error { return plainOf(t).err }

// letters are liblfi's, by kind.
var letters = map[reflect.Kind]byte{
	reflect.Bool: '?', reflect.Int8: 'b', reflect.Uint8: 'B', reflect.Int16: 'h', reflect.Uint16: 'H', reflect.Int32: 'i',
	reflect.Uint32: 'I', reflect.Int64: 'l', reflect.Uint64: 'L', reflect.Int: 'l', reflect.Uint: 'L', reflect.Uintptr: 'L',
	reflect.Float32: 'f', reflect.Float64: 'd',
}

var ptrType = reflect.TypeFor[Ptr]()

// Cells of a type beyond this are not worth a list.
const maxCells = 4096

func (p *plain) describe(t reflect.Type, at uintptr) (string, error) {
	letter := letters[t.Kind()]
	if t == ptrType {
		letter = 'p'
	}
	switch {
	case letter != 0:
		if len(p.cells) == maxCells {
			return "", fail(ErrSignature, "a Go type with more than %d numbers", maxCells)
		}
		p.cells = append(p.cells, cell{at, t.Size(), letter})
		if letter == '?' {
			p.bools = append(p.bools, at)
		}
		return string(letter), nil
	case t.Kind() == reflect.Array && t.Len() > 0:
		return p.array(t, at)
	case t.Kind() == reflect.Struct && t.NumField() > 0:
		return p.structure(t, at)
	}
	return "", fail(ErrSignature, "the Go type %v is none that C code in a sandbox has", t)
}

func (p *plain) array(t reflect.Type, at uintptr) (string, error) {
	var inner string
	var err error
	for i := 0; i < t.Len(); i++ {
		if inner, err = p.describe(t.Elem(), at+uintptr(i)*t.Elem().Size()); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("[%d%s]", t.Len(), inner), nil
}

func (p *plain) structure(t reflect.Type, at uintptr) (string, error) {
	var all strings.Builder
	all.WriteByte('{')
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		inner, err := p.describe(field.Type, at+field.Offset)
		if err != nil {
			return "", fail(ErrSignature, "field %s of %v: %v", field.Name, t, err)
		}
		all.WriteString(inner)
	}
	all.WriteByte('}')
	return all.String(), nil
}

// tidy makes bools of what the sandbox says they are.
func tidy[T any](values []T) {
	p := plainOf(reflect.TypeFor[T]())
	if len(p.bools) == 0 {
		return
	}
	for i := range values {
		p.tidy(unsafe.Pointer(&values[i]))
	}
}

func (p *plain) tidy(value unsafe.Pointer) {
	for _, at := range p.bools {
		b := (*byte)(unsafe.Add(value, at))
		if *b != 0 {
			*b = 1
		}
	}
}

// CheckLayout says whether the Go struct T is laid out as a C struct: one of these members, as signatures of liblfi have
// them: "{ii}" is two ints, "{p[4d]b}" a pointer, four doubles and a signed char. Integers of one size are alike.
//
//	b B  8 bits     h H  16     i I  32     l L  64, signed and unsigned
//	?  bool     p  pointer     f  float     d  double     {…}  struct     [4i]  array
//
// All types that New, Get, Set and functions take are laid out by the rules of the psABI. This is for types that were
// written down twice, and should be found out when they differ.
func CheckLayout[T any](c string) error {
	t := reflect.TypeFor[T]()
	p := plainOf(t)
	if p.err != nil {
		return p.err
	}
	l := layouter{text: c}
	size, _, err := l.one(0)
	if err != nil {
		return err
	}
	if l.at != len(c) {
		return fail(ErrSignature, "%q: there is something after the first type", c)
	}
	for i := 0; i < len(p.cells) || i < len(l.cells); i++ {
		if i >= len(p.cells) || i >= len(l.cells) || !alike(p.cells[i], l.cells[i]) {
			return fail(ErrSignature, "%v is not laid out as %q: they differ in number %d: %s and %s", t, c, i+1,
				describe(p.cells, i), describe(l.cells, i))
		}
	}
	if size != t.Size() {
		return fail(ErrSignature, "%v has %d bytes, %q has %d", t, t.Size(), c, size)
	}
	return nil
}

func describe(cells []cell, i int) string {
	if i >= len(cells) {
		return "none"
	}
	return fmt.Sprintf("'%c' at %d", cells[i].letter, cells[i].offset)
}

func alike(a, b cell) bool {
	class := func(letter byte) string {
		switch letter {
		case 'f', 'd', '?', 'p':
			return string(letter)
		}
		return "integer"
	}
	return a.offset == b.offset && a.size == b.size && class(a.letter) == class(b.letter)
}

// layouter lays a signature's type out as the psABI does.
type layouter struct {
	text  string
	at    int
	cells []cell
	depth int
}

var sizes = map[byte]uintptr{
	'?': 1, 'b': 1, 'B': 1, 'h': 2, 'H': 2, 'i': 4, 'I': 4, 'l': 8, 'L': 8, 'p': 8, 'f': 4, 'd': 8,
}

func (l *layouter) next() byte {
	if l.at == len(l.text) {
		return 0
	}
	l.at++
	return l.text[l.at-1]
}

func (l *layouter) one(offset uintptr) (size, align uintptr, err error) {
	l.depth++
	defer func() { l.depth-- }()
	switch letter := l.next(); {
	case l.depth > 32 || len(l.cells) > maxCells:
		return 0, 0, fail(ErrSignature, "the type %.40q is too large", l.text)
	case sizes[letter] > 0:
		l.cells = append(l.cells, cell{offset, sizes[letter], letter})
		return sizes[letter], sizes[letter], nil
	case letter == '{':
		return l.members(offset)
	case letter == '[':
		return l.items(offset)
	}
	return 0, 0, fail(ErrSignature, "%.40q: no type at character %d", l.text, l.at)
}

func (l *layouter) members(offset uintptr) (size, align uintptr, err error) {
	align = 1
	for l.at < len(l.text) && l.text[l.at] != '}' {
		mark, start := l.at, len(l.cells)
		_, a, err := l.one(0) // for its alignment
		if err != nil {
			return 0, 0, err
		}
		l.at, l.cells = mark, l.cells[:start]
		size, align = (size+a-1)/a*a, max(align, a)
		inner, _, err := l.one(offset + size)
		if err != nil {
			return 0, 0, err
		}
		size += inner
	}
	if l.next() != '}' || size == 0 {
		return 0, 0, fail(ErrSignature, "%.40q: a struct without members, or without an end", l.text)
	}
	return (size + align - 1) / align * align, align, nil
}

func (l *layouter) items(offset uintptr) (size, align uintptr, err error) {
	n := 0
	for l.at < len(l.text) && l.text[l.at] >= '0' && l.text[l.at] <= '9' && n <= maxCells {
		n = n*10 + int(l.next()-'0')
	}
	if n == 0 || n > maxCells {
		return 0, 0, fail(ErrSignature, "%.40q: an array of %d", l.text, n)
	}
	start := l.at
	for i := 0; i < n; i++ {
		l.at = start
		one, a, err := l.one(offset + size)
		if err != nil {
			return 0, 0, err
		}
		size, align = size+one, a
	}
	if l.next() != ']' {
		return 0, 0, fail(ErrSignature, "%.40q: an array without an end", l.text)
	}
	return size, align, nil
}
