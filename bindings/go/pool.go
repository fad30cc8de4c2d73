// SPDX-License-Identifier: MIT

package lfi

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/liblfi/lfi/bindings/go/internal/cabi"
)

// A Pool has sandboxes of one library, made ahead. The library is loaded once, and set up once; each Take gives a sandbox
// as it was then, and Give resets it, whatever has happened in it, in microseconds: what one job leaves behind the next one
// cannot find. Any number of goroutines may use a pool.
type Pool struct {
	conf  config
	host  *host
	first *Library
	snap  *snapshot
	mark  arenaMark

	free chan *instance // room for all; nil in it: one that is to be made again
	size int

	mu     sync.Mutex
	closed bool
	over   chan struct{} // closed when the pool is
}

// snapshot is what is frozen; the garbage collector frees it when its pool is forgotten.
type snapshot struct {
	cabi.Snapshot
	host *host
}

func (s *snapshot) free() {
	runtime.SetFinalizer(s, nil)
	s.Snapshot.Free()
	s.host.release()
}

// NewPool loads a library, calls setup with it once (nil: nothing), and makes n sandboxes from what it is then. Callbacks
// that setup registers are there in all of them. The program must be position-oblivious, as lfi-cc makes them.
func NewPool(image []byte, n int, setup func(*Library) error, options ...Option) (*Pool, error) {
	if n < 1 || n > 1<<20 {
		return nil, fail(ErrInvalid, "a pool of %d sandboxes", n)
	}
	c, err := configure(options)
	if err != nil {
		return nil, err
	}
	// Sandboxes that cannot be reset are replaced: some places more, which cost address space only.
	h, err := newPrivateHost(c.host, n+1+16)
	if err != nil {
		return nil, err
	}
	h.hold()
	p := &Pool{conf: c, host: h, size: n, free: make(chan *instance, n), over: make(chan struct{})}
	if err := p.fill(image, setup); err != nil {
		p.Close() // the other error is the one to tell
		return nil, err
	}
	return p, nil
}

func (p *Pool) fill(image []byte, setup func(*Library) error) error {
	hosts.mu.Lock()
	box, err := p.host.process(p.conf.threads)
	hosts.mu.Unlock()
	if err != nil {
		return err
	}
	if p.first, err = start(p.host, box, image, p.conf); err != nil {
		return err
	}
	if setup != nil {
		if err := setup(p.first); err != nil {
			return err
		}
	}
	snap, err := box.Freeze()
	if err != nil {
		return err
	}
	p.host.hold()
	p.snap = &snapshot{snap, p.host}
	runtime.SetFinalizer(p.snap, (*snapshot).free)
	p.mark = p.first.arena.mark()
	for i := 0; i < p.size; i++ {
		made, err := p.clone()
		if err != nil {
			return err
		}
		p.free <- made
	}
	return nil
}

// clone makes a sandbox as the first one was, with its callbacks.
func (p *Pool) clone() (*instance, error) {
	box, err := p.host.clone(p.snap.Snapshot, p.conf.threads)
	if err != nil {
		return nil, err
	}
	made := newInstance(p.host, box, p.conf)
	made.pool = p
	made.arena.reset(&p.mark)
	err = p.conf.limits.apply(box)
	for i := 0; err == nil && i < len(p.first.callbacks); i++ {
		c := p.first.callbacks[i]
		_, err = box.Register(c.kind.signature, cabi.HostFunc(c.make(made.instance)), uint64(c.at))
		made.callbacks = append(made.callbacks, c)
	}
	if err != nil {
		p.discard(made.instance)
		return nil, err
	}
	return made.instance, nil
}

// Take gives a sandbox; when all are taken it waits for one, or for the end of the context.
func (p *Pool) Take(ctx context.Context) (*Library, error) {
	if p == nil || ctx == nil {
		return nil, fail(ErrInvalid, "the pool, or the context, is nil")
	}
	if ctx.Err() != nil {
		return nil, &Error{"no sandbox was taken: " + ctx.Err().Error(), contextErrors(ctx)}
	}
	select {
	case i := <-p.free:
		return p.took(i)
	default:
	}
	select {
	case i := <-p.free:
		return p.took(i)
	case <-p.over:
		return nil, fail(ErrClosed, "the pool is closed")
	case <-ctx.Done():
		return nil, &Error{"all sandboxes of the pool are taken: " + ctx.Err().Error(), contextErrors(ctx)}
	}
}

func (p *Pool) took(i *instance) (*Library, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		if i != nil {
			p.discard(i)
		}
		return nil, fail(ErrClosed, "the pool is closed")
	}
	if i == nil {
		made, err := p.clone()
		if err != nil {
			p.free <- nil
			return nil, err
		}
		i = made
	}
	return &Library{i, i.life}, nil
}

// Give takes a sandbox back, and resets it. From then on the library is closed for who has it. While a call is in it, or
// a view of its memory open, that is ErrBusy, and it is still taken. Closing the library does the same.
func (p *Pool) Give(l *Library) error {
	if p == nil || l == nil || l.instance == nil || l.host != p.host || l.instance == p.first.instance {
		return fail(ErrInvalid, "%v is no sandbox of this pool", l)
	}
	l.mu.Lock()
	if l.life != l.serial {
		l.mu.Unlock()
		return fail(ErrClosed, "%s was given back, or closed", l.name)
	}
	i := l.instance
	if i.pool == nil {
		l.mu.Unlock()
		return fail(ErrClosed, "another sandbox has taken the place of %s", l.name)
	}
	if err := i.end(); err != nil {
		l.mu.Unlock()
		return err
	}
	fresh := p.renew(i)
	l.mu.Unlock()
	if !fresh {
		p.discard(i)
		i = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		if i != nil {
			p.discard(i)
		}
		return nil
	}
	p.free <- i
	return nil
}

// renew resets a sandbox whose life has ended. Callbacks since the snapshot are taken back, which a reset does not.
func (p *Pool) renew(i *instance) bool {
	kept := len(p.first.callbacks)
	if len(i.callbacks) > kept {
		return false // their addresses would be missing in what comes next; a clone is as cheap
	}
	for n := range i.callbacks {
		if i.callbacks[n].at != p.first.callbacks[n].at {
			return false
		}
	}
	if len(i.callbacks) < kept {
		return false
	}
	life, err := i.box.Renew()
	if err != nil {
		return false
	}
	i.arena.reset(&p.mark)
	i.life = life
	return true
}

// discard closes a sandbox that nobody is in.
func (p *Pool) discard(i *instance) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.life != 0 && i.end() != nil {
		return
	}
	i.box.Close() // there is nothing left to do with it
}

// Do calls f with a sandbox of its own. When somebody still is in the sandbox after that, it is interrupted, and another
// one takes its place; the error is ErrBusy then, too.
func (p *Pool) Do(ctx context.Context, f func(*Library) error) error {
	l, err := p.Take(ctx)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned {
			p.giveOrReplace(l) // f has panicked: that is what is told
		}
	}()
	err = f(l)
	returned = true
	return errors.Join(err, p.giveOrReplace(l))
}

func (p *Pool) giveOrReplace(l *Library) error {
	err := p.Give(l)
	if !errors.Is(err, ErrBusy) {
		return err
	}
	l.mu.Lock()
	l.pool = nil // it is the garbage collector's
	l.mu.Unlock()
	l.Interrupt() // or it was closed meanwhile
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.free <- nil
	}
	return err
}

// Close frees the pool's sandboxes; those that are taken go when they are given back. Closing again is fine.
func (p *Pool) Close() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	close(p.over)
	for len(p.free) > 0 {
		if i := <-p.free; i != nil {
			p.discard(i)
		}
	}
	if p.snap != nil {
		p.snap.free()
	}
	var err error
	if p.first != nil {
		err = p.first.Close()
	}
	p.host.release()
	return err
}
