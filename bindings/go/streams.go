// SPDX-License-Identifier: MIT

package lfi

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"sync"
	"syscall"
)

// streams are the descriptors that a program gets, and the goroutines that serve those that are no files of the host.
type streams struct {
	inner []*os.File     // the program's ends; closed once it has duplicates
	outer []io.Closer    // the caller's ends; closed by Wait
	pumps []func() error // started when the program starts
	ended chan error     // one value for each pump
	pipes []*os.File     // the pumps' ends, to be closed when they take too long
}

var null struct {
	sync.Mutex
	file *os.File
}

// nullDevice is /dev/null, which programs share.
func nullDevice() (*os.File, error) {
	null.Lock()
	defer null.Unlock()
	if null.file == nil {
		file, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		null.file = file
	}
	return null.file, nil
}

// input gives the file for the program's standard input.
func (s *streams) input(from io.Reader) (*os.File, error) {
	if from == nil {
		return nullDevice()
	}
	if file, ok := from.(*os.File); ok {
		return usable("Stdin", file)
	}
	r, w, err := s.pipe()
	if err != nil {
		return nil, err
	}
	s.pumps = append(s.pumps, func() error {
		_, err := io.Copy(w, from)
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) {
			err = nil // the program does not read all: that is its matter
		}
		if closed := w.Close(); err == nil && !errors.Is(closed, os.ErrClosed) {
			err = closed
		}
		return err
	})
	s.pipes = append(s.pipes, w)
	s.inner = append(s.inner, r)
	return r, nil
}

// output gives the file for one of its outputs.
func (s *streams) output(name string, to io.Writer) (*os.File, error) {
	if to == nil {
		return nullDevice()
	}
	if file, ok := to.(*os.File); ok {
		return usable(name, file)
	}
	r, w, err := s.pipe()
	if err != nil {
		return nil, err
	}
	s.pumps = append(s.pumps, func() error {
		_, err := io.Copy(to, r)
		r.Close() // a program that goes on writing is told so
		return err
	})
	s.pipes = append(s.pipes, r)
	s.inner = append(s.inner, w)
	return w, nil
}

func (s *streams) pipe() (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err != nil {
		err = fmt.Errorf("lfi: no pipe for a program: %w", err)
	}
	return
}

// usable refuses files that are closed.
func usable(name string, file *os.File) (*os.File, error) {
	if file == nil || int(file.Fd()) < 0 {
		return nil, &Error{name + " is a closed file", []error{ErrClosed, fs.ErrClosed}}
	}
	return file, nil
}

// same reports whether two writers are one; such that cannot be compared are not.
func same(a, b io.Writer) bool {
	return a != nil && b != nil && reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.TypeOf(a).Comparable() &&
		equal(a, b)
}

func equal(a, b io.Writer) (is bool) {
	defer func() { _ = recover() }() // a comparable struct with a field that is not
	return a == b
}

func (s *streams) start() {
	s.ended = make(chan error, len(s.pumps))
	for _, pump := range s.pumps {
		pump := pump
		go func() { s.ended <- pump() }()
	}
}

// handOver closes what the program has duplicates of.
func (s *streams) handOver() {
	for _, file := range s.inner {
		file.Close()
	}
	s.inner = nil
}

// abandon closes everything: the program did not start.
func (s *streams) abandon() {
	s.handOver()
	for _, file := range s.pipes {
		file.Close()
	}
	s.closeOuter()
}

func (s *streams) closeOuter() {
	for _, file := range s.outer {
		file.Close()
	}
	s.outer = nil
}

// cut ends pumps that wait for a pipe.
func (s *streams) cut() {
	for _, file := range s.pipes {
		file.Close()
	}
}

// collector keeps output, up to a limit.
type collector struct {
	mu   sync.Mutex
	data []byte
	most int
	over func() // what is called beyond the limit
}

// Write keeps what fits.
func (c *collector) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(data) > c.most-len(c.data) {
		c.over()
		return 0, fail(ErrLimit, "the program wrote more than MaxOutput, %d bytes", c.most)
	}
	c.data = append(c.data, data...)
	return len(data), nil
}

// take gives what is there; a goroutine that Wait did not wait for may still write.
func (c *collector) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.data
}

// excerpt keeps the beginning and the end of an output, for messages.
type excerpt struct {
	mu         sync.Mutex
	head, tail []byte
	left       int64 // bytes between them
}

const excerptSize = 32 << 10

func (e *excerpt) Write(data []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(data)
	first := min(excerptSize-len(e.head), n)
	e.head = append(e.head, data[:first]...)
	e.tail = append(e.tail, data[first:]...)
	if over := len(e.tail) - excerptSize; over > 0 {
		e.left += int64(over)
		e.tail = append(e.tail[:0], e.tail[over:]...)
	}
	return n, nil
}

func (e *excerpt) bytes() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.left == 0 {
		return append(e.head, e.tail...)
	}
	return append(fmt.Appendf(e.head, "\n… %d bytes left out …\n", e.left), e.tail...)
}
