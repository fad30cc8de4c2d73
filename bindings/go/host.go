// SPDX-License-Identifier: MIT

package lfi

import (
	"errors"
	"sync"

	"github.com/liblfi/lfi/bindings/go/internal/cabi"
)

// What engines of liblfi differ in. An engine has one set of host directories, and remembers which code it has verified,
// so boxes with the same options share one.
type hostOptions struct {
	dirs      string // as in cabi.LinuxOptions, joined by NULs: a key of a map
	workDir   string
	stackSize int
	engine    cabi.EngineOptions
}

// host is an engine with a Linux on top. It goes with its last box.
type host struct {
	options hostOptions
	engine  cabi.Engine
	linux   cabi.Linux
	boxes   int // in use; with hosts.mu
	private bool
}

// Boxes of one engine; address space only.
const hostBoxes = 64

// Engines that are kept though nobody uses them now.
const idleHosts = 8

var hosts struct {
	mu   sync.Mutex
	list map[hostOptions][]*host
	idle []*host
}

func newHost(options hostOptions, boxes int) (*host, error) {
	engine, err := cabi.NewEngine(options.engine, boxes)
	if err != nil {
		return nil, err
	}
	linux, err := engine.NewLinux(cabi.LinuxOptions{
		Dirs: splitList(options.dirs), WorkDir: options.workDir, StackSize: options.stackSize,
		Verbose: options.engine.Verbose,
	})
	if err != nil {
		engine.Free() // it has no boxes
		return nil, err
	}
	return &host{options: options, engine: engine, linux: linux}, nil
}

func (h *host) free() {
	h.linux.Free()  // it has no processes
	h.engine.Free() // and no boxes
}

// newProcess makes a process in a host with these options that has room.
func newProcess(options hostOptions, seats int) (*host, *cabi.Box, error) {
	hosts.mu.Lock()
	defer hosts.mu.Unlock()
	for _, h := range hosts.list[options] {
		box, err := h.process(seats)
		if !errors.Is(err, ErrNoMemory) {
			return h, box, err
		}
	}
	h, err := newHost(options, hostBoxes)
	if err != nil {
		return nil, nil, err
	}
	if hosts.list == nil {
		hosts.list = map[hostOptions][]*host{}
	}
	// Where there are many, the latest has room most likely.
	hosts.list[options] = append([]*host{h}, hosts.list[options]...)
	box, err := h.process(seats)
	if err != nil {
		forget(h)
	}
	return h, box, err
}

// newPrivateHost makes one for a pool; it goes with its last box.
func newPrivateHost(options hostOptions, boxes int) (*host, error) {
	h, err := newHost(options, boxes)
	if err == nil {
		h.private = true
	}
	return h, err
}

func (h *host) process(seats int) (*cabi.Box, error) {
	box, err := h.linux.NewProcess(seats, h.release)
	return h.took(box, err)
}

func (h *host) clone(snapshot cabi.Snapshot, seats int) (*cabi.Box, error) {
	hosts.mu.Lock()
	defer hosts.mu.Unlock()
	box, err := snapshot.Clone(seats, h.release)
	return h.took(box, err)
}

// With the lock.
func (h *host) took(box *cabi.Box, err error) (*cabi.Box, error) {
	if err != nil {
		return nil, err
	}
	h.boxes++
	if h.boxes == 1 {
		for i, one := range hosts.idle {
			if one == h {
				hosts.idle = append(hosts.idle[:i], hosts.idle[i+1:]...)
				break
			}
		}
	}
	return box, nil
}

// hold keeps the host until a release.
func (h *host) hold() {
	hosts.mu.Lock()
	defer hosts.mu.Unlock()
	h.boxes++
}

// release is called when a box is gone.
func (h *host) release() {
	hosts.mu.Lock()
	defer hosts.mu.Unlock()
	h.boxes--
	if h.boxes > 0 {
		return
	}
	if h.private {
		h.free()
		return
	}
	hosts.idle = append(hosts.idle, h)
	if len(hosts.idle) > idleHosts {
		forget(hosts.idle[0])
		hosts.idle = hosts.idle[1:]
	}
}

// forget frees a host that nobody uses. With the lock.
func forget(h *host) {
	same := hosts.list[h.options]
	for i, one := range same {
		if one == h {
			same = append(same[:i:i], same[i+1:]...)
			break
		}
	}
	if len(same) == 0 {
		delete(hosts.list, h.options)
	} else {
		hosts.list[h.options] = same
	}
	h.free()
}
