// SPDX-License-Identifier: MIT

package lfi

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/liblfi/lfi/bindings/go/internal/cabi"
)

// A Library is a C library in a sandbox of its own: a program without main, compiled by lfi-cc. Load makes one, or a
// Pool.
//
// Any number of goroutines may use it at once; then the C code must be made for threads. Each thread of the operating
// system that calls has a stack and thread-local data of its own in the sandbox, as with cgo: what relies on thread-local
// data between two calls needs runtime.LockOSThread. Beyond Threads of them, calls borrow a context from a few that are
// shared, and wait for one.
//
// What comes out of a sandbox is hostile: check numbers before they are sizes, and copy memory before you decide on it.
type Library struct {
	*instance
	serial uint64 // which life of the sandbox it means
}

// instance is a sandbox. Those of a pool have many lives.
type instance struct {
	box  *cabi.Box
	host *host
	name string
	conf config
	pool *Pool // whose it is, or nil; with mu held

	// Held for reading by what uses the box for a moment, but for calls, which look for themselves; for writing by what
	// ends its life.
	mu     sync.RWMutex
	life   uint64 // 0: none
	views  int    // with mu held, and viewMu
	viewMu sync.Mutex

	arena     arena
	fnMu      sync.RWMutex
	fns       map[fnKey]*function
	callbacks []callback
	lent      lender
}

// An Option changes how Load, NewPool and others make a sandbox.
type Option func(*config) error

type config struct {
	name           string
	host           hostOptions
	dirs           []string
	env            []string
	stdout, stderr *os.File
	limits         Limits
	timeout        time.Duration
	threads        int
}

// Limits are what a sandbox may use; 0 is no limit of its own.
type Limits struct {
	// Memory is bytes of mapped memory: the program, stacks, all that it allocates.
	Memory uint64
	// CPU is CPU time of all that runs in the sandbox.
	CPU time.Duration
	// Threads is the number of contexts: threads of the program, and of the host in it.
	Threads int
	// Files is the number of descriptors.
	Files int
}

// Named sets the program's name in messages, and its argv[0].
func Named(name string) Option {
	return func(c *config) error {
		if strings.ContainsRune(name, 0) {
			return fail(ErrInvalid, "the name %q has a NUL in it", name)
		}
		c.name = name
		return nil
	}
}

// Dir lets the sandbox see a host directory. Without this it sees no files.
func Dir(inside, outside string) Option { return dir(inside, outside, "") }

// ReadOnlyDir is Dir, but nothing can be changed.
func ReadOnlyDir(inside, outside string) Option { return dir(inside, outside, ":ro") }

func dir(inside, outside, mark string) Option {
	return func(c *config) error {
		if !strings.HasPrefix(inside, "/") || strings.ContainsAny(inside, "=\x00") || strings.ContainsRune(outside, 0) {
			return fail(ErrInvalid, "%q is no absolute path in a sandbox, or %q no path", inside, outside)
		}
		if mark == "" && strings.HasSuffix(outside, ":ro") {
			return fail(ErrInvalid, "a host directory whose name ends in :ro, %q, cannot be given", outside)
		}
		info, err := os.Stat(outside)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fail(ErrInvalid, "%q is no directory", outside)
		}
		path, err := filepath.Abs(outside)
		if err != nil {
			return err
		}
		c.dirs = append(c.dirs, inside+"="+path+mark)
		return nil
	}
}

// Env sets the environment: "NAME=VALUE" each. It is empty otherwise.
func Env(env ...string) Option {
	return func(c *config) error {
		for _, one := range env {
			if strings.ContainsRune(one, 0) {
				return fail(ErrInvalid, "env: %q has a NUL in it", one)
			}
		}
		c.env = env
		return nil
	}
}

// Output sets where the library's standard output and error go; nil: nowhere. They are the process's own otherwise.
func Output(stdout, stderr *os.File) Option {
	return func(c *config) error {
		c.stdout, c.stderr = stdout, stderr
		return nil
	}
}

// WithLimits limits the sandbox once it is loaded.
func WithLimits(limits Limits) Option {
	return func(c *config) error {
		c.limits = limits
		return limits.check()
	}
}

// Timeout limits how long the library's own initialisation may take.
func Timeout(d time.Duration) Option {
	return func(c *config) error {
		if d <= 0 {
			return fail(ErrInvalid, "a timeout of %v", d)
		}
		c.timeout = d
		return nil
	}
}

// StackSize sets the bytes of each stack in the sandbox; 2 MiB otherwise.
func StackSize(bytes int) Option {
	return func(c *config) error {
		if bytes < 0 {
			return fail(ErrInvalid, "a stack of %d bytes", bytes)
		}
		c.host.stackSize = bytes
		return nil
	}
}

// Threads sets how many threads of the operating system have a context of their own in the sandbox, 1 to 200; 32
// otherwise.
func Threads(n int) Option {
	return func(c *config) error {
		if n < 1 || n > 200 {
			return fail(ErrInvalid, "%d threads are not between 1 and 200", n)
		}
		c.threads = n
		return nil
	}
}

// StoresOnly accepts code that was compiled so that it confines its stores and jumps, but not its loads.
func StoresOnly() Option {
	return func(c *config) error {
		c.host.engine.StoresOnly = true
		return nil
	}
}

func (l Limits) check() error {
	const most = 1 << 31
	if l.CPU < 0 || l.Threads < 0 || l.Threads >= most || l.Files < 0 || l.Files >= most {
		return fail(ErrInvalid, "%+v has a limit below 0, or beyond 2^31", l)
	}
	return nil
}

func (l Limits) apply(box *cabi.Box) error {
	if l == (Limits{}) {
		return nil
	}
	return box.Limit(l.Memory, uint64(l.CPU), uint32(l.Threads), uint32(l.Files))
}

func configure(options []Option) (config, error) {
	c := config{name: "library", stdout: os.Stdout, stderr: os.Stderr, threads: 32, host: hostOptions{workDir: "/"}}
	for _, option := range options {
		if option == nil {
			return c, fail(ErrInvalid, "an option is nil")
		}
		if err := option(&c); err != nil {
			return c, err
		}
	}
	c.host.dirs = strings.Join(c.dirs, "\x00")
	return c, nil
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\x00")
}

// Load starts a library in a new sandbox. The image is the whole file that lfi-cc made; it is verified before one byte of
// it runs, so it need not be trusted.
func Load(image []byte, options ...Option) (*Library, error) {
	c, err := configure(options)
	if err != nil {
		return nil, err
	}
	cabi.ReclaimSignals() // there may be no engine yet; a new one does so by itself
	h, box, err := newProcess(c.host, c.threads)
	if err != nil {
		return nil, err
	}
	return start(h, box, image, c)
}

// LoadFile is Load of a file.
func LoadFile(path string, options ...Option) (*Library, error) {
	image, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Load(image, append([]Option{Named(path)}, options...)...)
}

// start makes a library of a process that has no program yet.
func start(h *host, box *cabi.Box, image []byte, c config) (*Library, error) {
	if err := initialise(box, image, c); err != nil {
		if box.Retire() == nil {
			box.Close() // the other error is the one to tell
		}
		return nil, err
	}
	return newInstance(h, box, c), nil
}

func newInstance(h *host, box *cabi.Box, c config) *Library {
	i := &instance{box: box, host: h, name: c.name, conf: c, life: box.Serial()}
	i.arena.box = box
	i.lent.box = box
	return &Library{i, i.life}
}

func initialise(box *cabi.Box, image []byte, c config) error {
	if err := loadProgram(box, image, c); err != nil {
		return err
	}
	if err := box.Stdio(-1, descriptor(c.stdout), descriptor(c.stderr)); err != nil {
		return err
	}
	if err := box.Thread([]string{c.name}, c.env); err != nil {
		return err
	}
	if _, err := box.Run(box.Serial(), true, uint64(c.timeout), nil); err != nil {
		return err
	}
	return c.limits.apply(box)
}

// loadProgram loads an image; a refusal says which rule was broken.
func loadProgram(box *cabi.Box, image []byte, c config) error {
	if len(image) == 0 {
		return fail(ErrProgram, "%s: the program is empty", c.name)
	}
	err := box.Load(image, c.name)
	if refused, ok := err.(*VerifyError); ok {
		refused.Rule = brokenRule(image, c.host.engine)
	}
	return err
}

func descriptor(file *os.File) int {
	if file == nil {
		return -1
	}
	return int(file.Fd())
}

// use holds the sandbox for a moment; done lets it go.
func (l *Library) use() (done func(), err error) {
	if l == nil || l.instance == nil {
		return nil, fail(ErrClosed, "there is no library: it is nil")
	}
	l.mu.RLock()
	if l.life != l.serial {
		l.mu.RUnlock()
		return nil, fail(ErrClosed, "%s is closed", l.name)
	}
	return l.mu.RUnlock, nil
}

// end ends the sandbox's life. With mu held for writing.
func (i *instance) end() error {
	if i.views > 0 {
		return fail(ErrBusy, "%d views of the memory of %s are open", i.views, i.name)
	}
	if err := i.box.Retire(); err != nil {
		return err
	}
	i.life = 0
	i.lent.forget()
	return nil
}

// Close frees the sandbox, with all that was made in it. With calls in it, or views of its memory, it is ErrBusy and
// nothing has happened. Closing again is fine. A library that nobody uses any more is closed by the garbage collector,
// unless there are callbacks that use it. One of a pool is given back.
func (l *Library) Close() error {
	if l == nil || l.instance == nil {
		return nil
	}
	l.mu.RLock()
	pool, over := l.pool, l.life != l.serial
	l.mu.RUnlock()
	if pool != nil && !over {
		return pool.Give(l)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life != l.serial {
		return nil
	}
	if err := l.end(); err != nil {
		return err
	}
	return l.box.Close()
}

// Closed reports whether the library was closed, or given back to its pool.
func (l *Library) Closed() bool {
	done, err := l.use()
	if err != nil {
		return true
	}
	done()
	return false
}

// Interrupt ends all calls that are pending in the sandbox, with ErrInterrupted.
func (l *Library) Interrupt() error {
	done, err := l.use()
	if err != nil {
		return err
	}
	defer done()
	return l.box.Interrupt()
}

// SetLimits replaces the sandbox's limits. What it has beyond them stays; it gets no more.
func (l *Library) SetLimits(limits Limits) error {
	if err := limits.check(); err != nil {
		return err
	}
	done, err := l.use()
	if err != nil {
		return err
	}
	defer done()
	return l.box.Limit(limits.Memory, uint64(limits.CPU), uint32(limits.Threads), uint32(limits.Files))
}

// Usage is what a sandbox has used.
type Usage struct {
	// Memory is bytes that are mapped, MemoryPeak the most that ever were, Resident what the sandbox has for itself.
	Memory, MemoryPeak, Resident uint64
	// Calls were made into the sandbox, SystemCalls by it; Faults ended calls.
	Calls, SystemCalls, Faults uint64
	// CPU is counted where there is a limit of it.
	CPU time.Duration
	// Threads are contexts that exist.
	Threads int
}

// Usage says what the sandbox has used so far.
func (l *Library) Usage() (Usage, error) {
	done, err := l.use()
	if err != nil {
		return Usage{}, err
	}
	defer done()
	return usageOf(l.box), nil
}

func usageOf(box *cabi.Box) Usage {
	s := box.Stats()
	return Usage{s.Mapped, s.MappedPeak, s.Resident, s.Calls, s.RuntimeCalls, s.Faults, time.Duration(s.CPU), int(s.Contexts)}
}

// Symbol is the address of a function or variable of the library.
func (l *Library) Symbol(name string) (Ptr, error) {
	done, err := l.use()
	if err != nil {
		return 0, err
	}
	defer done()
	return l.symbol(name)
}

func (i *instance) symbol(name string) (Ptr, error) {
	if strings.ContainsRune(name, 0) {
		return 0, fail(ErrNotFound, "%s has no symbol %q", i.name, name)
	}
	at, err := i.box.Symbol(name)
	return offset(at), err
}

func (l *Library) String() string {
	if l == nil || l.instance == nil {
		return "lfi.Library(nil)"
	}
	return fmt.Sprintf("lfi.Library(%s)", l.name)
}

// deadline is what is left of a context's time in ns, at least 1; 0: it has no deadline.
func deadline(ctx context.Context) uint64 {
	when, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return uint64(max(time.Until(when), 1))
}
