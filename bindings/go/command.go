// SPDX-License-Identifier: MIT

package lfi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/liblfi/lfi/bindings/go/internal/cabi"
)

// A Cmd is a program in a sandbox that is prepared, runs or has ended: exec.Cmd for programs that lfi-cc has made. It runs
// on threads of this process, with nothing of the host but what the fields give it.
//
// A Cmd is used once. Fields are set before it starts.
type Cmd struct {
	// Path is the program's file on the host; no search path counts. If Image is not nil, Path is a name only.
	Path string
	// Image is the program itself. It is verified, as that of a file is, so it need not be trusted.
	Image []byte
	// Args are the arguments, Args[0] the program's name.
	Args []string
	// Env is the environment, "NAME=VALUE" each: of two with a name, the latter. It is empty otherwise, never the host's.
	Env []string
	// Dir is the working directory in the sandbox; "" is the root.
	Dir string
	// Mounts are the files that the program sees. Otherwise these are a few harmless devices as /dev/null.
	Mounts []Mount
	// Limits are the program's. CPU time is counted where there is a limit of it, be it math.MaxInt64.
	Limits Limits
	// StackSize is the bytes of the first thread's stack; 0 is 2 MiB.
	StackSize int
	// StoresOnly accepts programs that were compiled to confine stores and jumps, but not loads.
	StoresOnly bool

	// Stdin is nothing (the null device), an *os.File, which the program reads itself, or what a goroutine copies to the
	// program from. Wait is not over before that goroutine is, which a Reader that blocks can prevent: see WaitDelay.
	Stdin io.Reader
	// Stdout and Stderr likewise. If they are the same, at most one goroutine at a time calls Write. Once a Write has
	// failed, the program's own writes do (EPIPE, and signal 13).
	Stdout, Stderr io.Writer

	// WaitDelay limits how long Wait waits for those goroutines once the program has ended; after that it returns
	// ErrWaitDelay, if nothing else went wrong. 0 is no limit.
	WaitDelay time.Duration
	// MaxOutput limits what Output and CombinedOutput keep, in bytes; 0 is 256 MiB. A program that writes more is ended,
	// with ErrLimit.
	MaxOutput int

	// ProcessState says how the program ended; nil while it runs.
	ProcessState *ProcessState

	ctx      context.Context // the caller's
	inner    context.Context // done when that is, or when the program is killed
	kill     context.CancelFunc
	streams  streams
	stderr   *excerpt // of Output
	outputs  []*collector
	box      *cabi.Box
	plan     *mountPlan
	prepared bool
	waited   bool
	ended    chan struct{}

	mu     sync.Mutex // of what follows
	state  *ProcessState
	err    error
	killed error // why it was, if not by the context
}

// ErrWaitDelay: a program has ended, but the goroutines that served its streams had not after WaitDelay.
var ErrWaitDelay = errors.New("lfi: WaitDelay is over, and streams of the program are still in use")

// A ProcessState is how a program ended.
type ProcessState struct {
	code  int
	usage Usage
}

// ExitCode is 0 to 255, 128 + signal when the program ended itself by a signal, or -1 when it did not end by itself.
func (p *ProcessState) ExitCode() int {
	if p == nil {
		return -1
	}
	return p.code
}

// Exited reports whether the program ended by itself.
func (p *ProcessState) Exited() bool { return p.ExitCode() >= 0 }

// Success reports whether the exit code is 0.
func (p *ProcessState) Success() bool { return p.ExitCode() == 0 }

// Usage is what the program's sandbox had used when it ended.
func (p *ProcessState) Usage() Usage {
	if p == nil {
		return Usage{}
	}
	return p.usage
}

func (p *ProcessState) String() string {
	switch {
	case p == nil:
		return "has not ended"
	case p.code < 0:
		return "was stopped"
	}
	return fmt.Sprintf("exit status %d", p.code)
}

// An ExitError is that of a program that has ended by itself, with another exit code than 0.
type ExitError struct {
	*ProcessState
	// Stderr is what Output found on standard error, if that was not to go elsewhere; the middle of much is left out.
	Stderr []byte
}

func (e *ExitError) Error() string { return "lfi: " + e.ProcessState.String() }

// Command prepares the program of the file `path`, which lfi-cc has made.
func Command(path string, args ...string) *Cmd {
	return CommandContext(context.Background(), path, args...)
}

// CommandContext is Command of a program that ends with the context, whatever it is doing then: the error is the
// context's, and ErrDeadline or ErrInterrupted.
func CommandContext(ctx context.Context, path string, args ...string) *Cmd {
	return &Cmd{Path: path, Args: append([]string{path}, args...), ctx: ctx}
}

func (c *Cmd) String() string {
	if c == nil {
		return "lfi.Cmd(nil)"
	}
	return strings.Join(append([]string{c.Path}, c.Args[min(1, len(c.Args)):]...), " ")
}

// ---- Making it ----

// prepare makes all but the run.
func (c *Cmd) prepare() (err error) {
	if c == nil || c.ctx == nil {
		return fail(ErrInvalid, "there is no command, or no context: Command and CommandContext make one")
	}
	if c.prepared {
		return fail(ErrInvalid, "%s was started already: a Cmd is used once", c.Path)
	}
	c.prepared = true
	defer func() {
		if err != nil {
			c.abandon()
		}
	}()
	if c.ctx.Err() != nil {
		return c.overBefore()
	}
	options, err := c.check()
	if err != nil {
		return err
	}
	image, err := c.image()
	if err != nil {
		return err
	}
	if c.plan, err = planMounts(c.Mounts); err != nil {
		return err
	}
	options.dirs = strings.Join(c.plan.maps, "\x00")
	if err := c.load(image, options); err != nil {
		return err
	}
	if c.ctx.Err() != nil {
		return c.overBefore()
	}
	c.inner, c.kill = context.WithCancel(c.ctx)
	c.ended = make(chan struct{})
	c.streams.start()
	return nil
}

func (c *Cmd) overBefore() error {
	return &Error{c.Path + " was not started: " + context.Cause(c.ctx).Error(), contextErrors(c.ctx)}
}

// abandon gives back what a program has that does not run.
func (c *Cmd) abandon() {
	c.streams.abandon()
	c.free()
}

// free frees the sandbox, and what only it has used.
func (c *Cmd) free() {
	if c.box != nil && c.box.Retire() == nil {
		c.box.Close() // nobody is there to be told
	}
	c.box = nil
	if c.plan != nil {
		c.plan.remove()
	}
}

func (c *Cmd) check() (options hostOptions, err error) {
	if len(c.Args) == 0 {
		return options, fail(ErrInvalid, "Args of %s is empty: its first is the program's name", c.Path)
	}
	for _, one := range append(append([]string{c.Path, c.Dir}, c.Args...), c.Env...) {
		if strings.ContainsRune(one, 0) {
			return options, fail(ErrInvalid, "%q has a NUL in it", one)
		}
	}
	if c.StackSize < 0 || c.MaxOutput < 0 {
		return options, fail(ErrInvalid, "%s: StackSize or MaxOutput is below 0", c.Path)
	}
	options = hostOptions{workDir: c.Dir, stackSize: c.StackSize, engine: cabi.EngineOptions{StoresOnly: c.StoresOnly}}
	if c.Dir == "" {
		options.workDir = "/"
	} else if !strings.HasPrefix(c.Dir, "/") {
		return options, fail(ErrInvalid, "Dir %q is no absolute path in the sandbox", c.Dir)
	}
	return options, c.Limits.check()
}

// Most bytes of a program: what fits into a sandbox.
const maxImage = 1 << 32

func (c *Cmd) image() ([]byte, error) {
	if c.Image != nil {
		return c.Image, nil
	}
	file, err := os.Open(c.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fail(ErrProgram, "%s is no file but %v", c.Path, info.Mode())
	}
	if info.Size() >= maxImage {
		return nil, fail(ErrProgram, "%s has %d bytes; a sandbox has room for less than %d", c.Path, info.Size(), maxImage)
	}
	image := make([]byte, info.Size())
	n, err := io.ReadFull(file, image)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	return image[:n], nil
}

// load makes the process: its sandbox, its files, its first thread.
func (c *Cmd) load(image []byte, options hostOptions) error {
	h, err := c.host(options)
	if err == nil {
		err = loadProgram(c.box, image, config{name: c.Path, host: options})
	}
	if err == nil {
		err = c.Limits.apply(c.box)
	}
	if err == nil {
		err = c.stdio()
	}
	if err == nil {
		err = c.box.Thread(c.Args, lastOf(c.Env))
	}
	runtime.KeepAlive(h)
	return err
}

// host makes the box: in an engine of its own when it has files that nobody else will have.
func (c *Cmd) host(options hostOptions) (h *host, err error) {
	cabi.ReclaimSignals() // there may be no engine yet; a new one does so by itself
	if c.plan.scratch == "" {
		h, c.box, err = newProcess(options, 1)
		return h, err
	}
	if h, err = newPrivateHost(options, 1); err != nil {
		return nil, err
	}
	hosts.mu.Lock()
	defer hosts.mu.Unlock()
	if c.box, err = h.process(1); err != nil {
		h.free()
	}
	return h, err
}

// lastOf leaves out variables that are set again.
func lastOf(env []string) []string {
	last := make(map[string]int, len(env))
	for i, one := range env {
		name, _, _ := strings.Cut(one, "=")
		last[name] = i
	}
	var kept []string
	for i, one := range env {
		if name, _, _ := strings.Cut(one, "="); last[name] == i {
			kept = append(kept, one)
		}
	}
	return kept
}

func (c *Cmd) stdio() error {
	in, err := c.streams.input(c.Stdin)
	if err != nil {
		return err
	}
	out, err := c.streams.output("Stdout", c.Stdout)
	if err != nil {
		return err
	}
	errs := out
	if !same(c.Stdout, c.Stderr) {
		if errs, err = c.streams.output("Stderr", c.Stderr); err != nil {
			return err
		}
	}
	err = c.box.Stdio(descriptor(in), descriptor(out), descriptor(errs))
	runtime.KeepAlive([]*os.File{in, out, errs})
	c.streams.handOver()
	return err
}

// ---- Running it ----

// run runs the program to its end, on this goroutine's thread.
func (c *Cmd) run() {
	watched := make(chan struct{})
	over := make(chan struct{})
	stop := context.AfterFunc(c.inner, func() {
		defer close(watched)
		c.interrupt(over)
	})
	code, err := c.box.Run(c.box.Serial(), false, 0, nil)
	close(over)
	if !stop() {
		<-watched
	}
	state := &ProcessState{code, usageOf(c.box)}
	if err != nil {
		state.code = -1
		err = c.endedBy(err)
	}
	c.free() // closes its descriptors, so that the streams end
	c.kill()
	c.mu.Lock()
	c.state, c.err = state, err
	c.mu.Unlock()
	close(c.ended)
}

// interrupt ends the program. One interrupt is for the threads that are in the sandbox just then: it may come before the
// first one is, or when that has left the program to others that are about to begin.
func (c *Cmd) interrupt(over <-chan struct{}) {
	for pause := time.Millisecond; ; pause *= 2 {
		c.box.Interrupt() // it is there until this has returned
		select {
		case <-over:
			return
		case <-time.After(pause):
		}
	}
}

// endedBy is the error of a program that did not end by itself.
func (c *Cmd) endedBy(err error) error {
	if !errors.Is(err, ErrInterrupted) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.killed != nil:
		return c.killed
	case c.ctx.Err() == nil:
		return err
	}
	kinds := contextErrors(c.ctx)
	if !errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
		kinds = append(kinds, ErrInterrupted)
	}
	return &Error{c.Path + " was ended: " + context.Cause(c.ctx).Error(), kinds}
}

// end ends the program for another reason than its context.
func (c *Cmd) end(why error) {
	c.mu.Lock()
	if c.killed == nil {
		c.killed = why
	}
	c.mu.Unlock()
	c.kill()
}

// Start starts the program, and does not wait for its end. Wait must be called then, to free what it has.
func (c *Cmd) Start() error {
	if err := c.prepare(); err != nil {
		return err
	}
	go c.run()
	return nil
}

// Kill ends a program that has started: Wait returns ErrInterrupted. Of one that has ended the error is
// os.ErrProcessDone.
func (c *Cmd) Kill() error {
	if c == nil || c.ended == nil {
		return fail(ErrInvalid, "the program has not started")
	}
	select {
	case <-c.ended:
		return &Error{c.Path + " has ended already", []error{os.ErrProcessDone}}
	default:
	}
	c.end(fail(ErrInterrupted, "%s was killed", c.Path))
	return nil
}

// Wait waits for the end of a program that Start has started, and of the goroutines that serve its streams.
//
// The error is nil when it ended with exit code 0; an *ExitError with another; a *FaultError when it trapped or aborted;
// the context's when that ended it; ErrLimit when it used up its CPU time; or what copying its streams came to.
func (c *Cmd) Wait() error {
	if c == nil || c.ended == nil {
		return fail(ErrInvalid, "the program has not started: Start does that")
	}
	c.mu.Lock()
	waited := c.waited
	c.waited = true
	c.mu.Unlock()
	if waited {
		return fail(ErrInvalid, "%s was waited for already", c.Path)
	}
	<-c.ended
	copied := c.awaitStreams()
	c.streams.closeOuter()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ProcessState = c.state
	switch {
	case c.err != nil:
		return c.err
	case c.killed != nil && errors.Is(c.killed, ErrLimit):
		return c.killed
	case c.state.code != 0:
		e := &ExitError{ProcessState: c.state}
		if c.stderr != nil {
			e.Stderr = c.stderr.bytes()
		}
		return e
	}
	return copied
}

// awaitStreams gives the first error of the goroutines.
func (c *Cmd) awaitStreams() (err error) {
	var late <-chan time.Time
	if c.WaitDelay > 0 && len(c.streams.pumps) > 0 {
		timer := time.NewTimer(c.WaitDelay)
		defer timer.Stop()
		late = timer.C
	}
	for range c.streams.pumps {
		select {
		case one := <-c.streams.ended:
			if err == nil {
				err = one
			}
		case <-late:
			c.streams.cut()
			if err == nil {
				err = ErrWaitDelay
			}
			return err
		}
	}
	return err
}

// Run starts the program and waits for its end; the error is that of Start or Wait.
func (c *Cmd) Run() error {
	if err := c.prepare(); err != nil {
		return err
	}
	c.run()
	return c.Wait()
}

// ---- Output ----

// collect makes a stream that is kept.
func (c *Cmd) collect() *collector {
	most := c.MaxOutput
	if most == 0 {
		most = 256 << 20
	}
	return &collector{most: most, over: func() {
		c.end(fail(ErrLimit, "%s wrote more than MaxOutput, %d bytes", c.Path, most))
	}}
}

// Output runs the program and gives what it wrote to standard output, also with an error.
func (c *Cmd) Output() ([]byte, error) {
	if c == nil {
		return nil, c.Run()
	}
	if c.Stdout != nil {
		return nil, fail(ErrInvalid, "Stdout of %s is set already: Output needs it", c.Path)
	}
	kept := c.collect()
	c.Stdout = kept
	if c.Stderr == nil {
		c.stderr = &excerpt{}
		c.Stderr = c.stderr
	}
	err := c.Run()
	return kept.take(), err
}

// CombinedOutput runs the program and gives what it wrote to standard output and standard error, also with an error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c == nil {
		return nil, c.Run()
	}
	if c.Stdout != nil || c.Stderr != nil {
		return nil, fail(ErrInvalid, "Stdout or Stderr of %s is set already: CombinedOutput needs both", c.Path)
	}
	kept := c.collect()
	c.Stdout, c.Stderr = kept, kept
	err := c.Run()
	return kept.take(), err
}

// ---- Pipes ----

// end of a pipe that the caller has. Closing it again is fine, as Wait closes it, too.
type pipeEnd struct {
	*os.File
	once sync.Once
	err  error
}

func (p *pipeEnd) Close() error {
	p.once.Do(func() { p.err = p.File.Close() })
	return p.err
}

func (c *Cmd) pipe(name string, set bool) (r, w *os.File, err error) {
	if c == nil || set || c.prepared {
		return nil, nil, fail(ErrInvalid, "%s is set already, or the program has started", name)
	}
	return c.streams.pipe()
}

// StdinPipe gives what the program reads when it has started. Closing it is the end of its input; Wait closes it, too.
func (c *Cmd) StdinPipe() (io.WriteCloser, error) {
	r, w, err := c.pipe("Stdin", c != nil && c.Stdin != nil)
	if err != nil {
		return nil, err
	}
	c.Stdin = r
	end := &pipeEnd{File: w}
	c.streams.inner = append(c.streams.inner, r)
	c.streams.outer = append(c.streams.outer, end)
	return end, nil
}

// StdoutPipe gives what the program writes to standard output when it has started. Wait closes it: read to its end
// before.
func (c *Cmd) StdoutPipe() (io.ReadCloser, error) {
	r, w, err := c.pipe("Stdout", c != nil && c.Stdout != nil)
	if err != nil {
		return nil, err
	}
	c.Stdout = w
	return c.readEnd(r, w), nil
}

// StderrPipe is StdoutPipe of standard error.
func (c *Cmd) StderrPipe() (io.ReadCloser, error) {
	r, w, err := c.pipe("Stderr", c != nil && c.Stderr != nil)
	if err != nil {
		return nil, err
	}
	c.Stderr = w
	return c.readEnd(r, w), nil
}

func (c *Cmd) readEnd(r, w *os.File) io.ReadCloser {
	end := &pipeEnd{File: r}
	c.streams.inner = append(c.streams.inner, w)
	c.streams.outer = append(c.streams.outer, end)
	return end
}
