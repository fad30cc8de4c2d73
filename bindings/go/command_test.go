// SPDX-License-Identifier: MIT

package lfi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/liblfi/lfi/bindings/go"
)

// program is a command of tests/python/programs/program.c.
func program(t testing.TB, args ...string) *lfi.Cmd { return programContext(background, t, args...) }

func programContext(ctx context.Context, t testing.TB, args ...string) *lfi.Cmd {
	t.Helper()
	cmd := lfi.CommandContext(ctx, "program", args...)
	cmd.Image = image(t, filepath.Join(programs, "program.c"))
	return cmd
}

// waiter is one of testdata/program.c.
func waiter(ctx context.Context, t testing.TB, args ...string) *lfi.Cmd {
	t.Helper()
	cmd := lfi.CommandContext(ctx, "waiter", args...)
	cmd.Image = image(t, filepath.Join("testdata", "program.c"))
	return cmd
}

func expect(t *testing.T, cmd *lfi.Cmd, want string) {
	t.Helper()
	if said, err := cmd.Output(); err != nil || string(said) != want {
		t.Errorf("%v: %q, %v", cmd, said, err)
	}
}

func TestACommandHasArgumentsAndEnvironment(t *testing.T) {
	t.Setenv("WHO", "the host")
	cmd := program(t, "hello")
	expect(t, cmd, "hello, world\n")
	cmd = program(t, "hello")
	cmd.Env = []string{"WHO=first", "OTHER=", "WHO=last"}
	expect(t, cmd, "hello, last\n")
	expect(t, program(t, "arguments", "", "two words", "ä"), "arguments\n\ntwo words\nä\n")
}

func TestACommandOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program.lfi")
	if err := os.WriteFile(path, image(t, filepath.Join(programs, "program.c")), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, lfi.Command(path, "hello"), "hello, world\n")
}

func TestExitCodesAreErrors(t *testing.T) {
	for _, code := range []int{1, 7, 255} {
		cmd := program(t, "exit", fmt.Sprint(code))
		err := cmd.Run()
		var exit *lfi.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != code || exit.Success() || !exit.Exited() {
			t.Errorf("%d: %v", code, err)
		}
		if cmd.ProcessState.ExitCode() != code || err.Error() != fmt.Sprintf("lfi: exit status %d", code) {
			t.Error(cmd.ProcessState, err)
		}
	}
	cmd := program(t, "exit", "0")
	if err := cmd.Run(); err != nil || !cmd.ProcessState.Success() {
		t.Error(err)
	}
	cmd = program(t, "raise", fmt.Sprint(int(syscall.SIGTERM)))
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Error(err, cmd.ProcessState)
	}
}

func TestAnExitErrorHasWhatWasOnStandardError(t *testing.T) {
	for _, one := range []struct {
		lines int
		last  string
		most  int
	}{{1, "complaint 0\n", 12}, {100_000, "complaint 99999\n", 65 << 10}} {
		_, err := waiter(background, t, "complain", fmt.Sprint(one.lines)).Output()
		var exit *lfi.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 5 {
			t.Fatal(err)
		}
		said := string(exit.Stderr)
		if !strings.HasPrefix(said, "complaint 0\n") || !strings.HasSuffix(said, one.last) || len(said) > one.most {
			t.Errorf("%d bytes for %d lines", len(said), one.lines)
		}
		if strings.Contains(said, "left out") != (one.lines > 1) {
			t.Error(said)
		}
	}
}

func TestAFaultIsAFaultError(t *testing.T) {
	cmd := program(t, "crash")
	said, err := cmd.Output()
	var fault *lfi.FaultError
	if !errors.As(err, &fault) || fault.Symbol != "main" || string(said) != "before\n" {
		t.Errorf("%q, %v", said, err)
	}
	if cmd.ProcessState.Exited() || cmd.ProcessState.ExitCode() != -1 {
		t.Error(cmd.ProcessState)
	}
	cmd = lfi.Command("scenario", "abort")
	cmd.Image = image(t, filepath.Join(scenarios, "program.c"))
	if err := cmd.Run(); !errors.As(err, &fault) || fault.Signal != syscall.SIGABRT {
		t.Error(err)
	}
}

func TestProgramsThatCannotRun(t *testing.T) {
	good := image(t, filepath.Join(programs, "program.c"))
	bad := append([]byte(nil), good...)
	copy(bad[codeOf(t, bad):], "\x48\x8b\x00") // mov (%rax), %rax
	folder := t.TempDir()
	huge := filepath.Join(folder, "huge")
	if err := os.WriteFile(huge, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, 1<<33); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		path  string
		image []byte
		want  error
	}{
		{filepath.Join(folder, "missing"), nil, fs.ErrNotExist},
		{folder, nil, lfi.ErrProgram},
		{os.DevNull, nil, lfi.ErrProgram},
		{huge, nil, lfi.ErrProgram},
		{"empty", []byte{}, lfi.ErrProgram},
		{"text", []byte("#!/bin/sh\n"), lfi.ErrProgram},
		{"half", good[:len(good)/2], lfi.ErrProgram},
		{"bad", bad, lfi.ErrVerify},
		{"a\x00b", good, lfi.ErrInvalid},
	} {
		cmd := lfi.Command(one.path)
		cmd.Image = one.image
		if err := cmd.Run(); !errors.Is(err, one.want) {
			t.Errorf("%s: %v", one.path, err)
		}
		if err := cmd.Wait(); !errors.Is(err, lfi.ErrInvalid) {
			t.Errorf("%s: waiting: %v", one.path, err)
		}
	}
	refused := lfi.Command("bad")
	refused.Image = bad
	var verify *lfi.VerifyError
	if err := refused.Run(); !errors.As(err, &verify) || verify.Rule != "memory" {
		t.Error(err)
	}
}

func TestWrongUseIsErrInvalid(t *testing.T) {
	var none *lfi.Cmd
	for name, err := range map[string]error{
		"Run": none.Run(), "Start": none.Start(), "Wait": none.Wait(), "Kill": none.Kill(), "Output": apart(none.Output()),
		"CombinedOutput": apart(none.CombinedOutput()), "StdinPipe": apart(none.StdinPipe()),
		"StdoutPipe": apart(none.StdoutPipe()), "StderrPipe": apart(none.StderrPipe()), "zero": (&lfi.Cmd{}).Run(),
		"nil context": lfi.CommandContext(nil, "x").Run(), //nolint:staticcheck // it is what is tested
	} {
		if !errors.Is(err, lfi.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, spoil := range map[string]func(*lfi.Cmd){
		"no args":    func(c *lfi.Cmd) { c.Args = nil },
		"NUL":        func(c *lfi.Cmd) { c.Args = append(c.Args, "\x00") },
		"env NUL":    func(c *lfi.Cmd) { c.Env = []string{"A=\x00"} },
		"dir":        func(c *lfi.Cmd) { c.Dir = "relative" },
		"stack":      func(c *lfi.Cmd) { c.StackSize = -1 },
		"big stack":  func(c *lfi.Cmd) { c.StackSize = 1 << 40 },
		"max output": func(c *lfi.Cmd) { c.MaxOutput = -1 },
		"limits":     func(c *lfi.Cmd) { c.Limits.Files = -1 },
		"mount":      func(c *lfi.Cmd) { c.Mounts = []lfi.Mount{{}} },
		"mount of nothing": func(c *lfi.Cmd) {
			c.Mounts = []lfi.Mount{{Path: "/a"}}
		},
		"mount of two": func(c *lfi.Cmd) {
			c.Mounts = []lfi.Mount{{Path: "/a", HostDir: ".", Data: []byte{}}}
		},
		"mount at nothing": func(c *lfi.Cmd) {
			c.Mounts = []lfi.Mount{{Path: "a", HostDir: "."}}
		},
		"mounts at one place": func(c *lfi.Cmd) {
			c.Mounts = []lfi.Mount{{Path: "/a", HostDir: "."}, {Path: "/a/", HostDir: "."}}
		},
		"copies at one place": func(c *lfi.Cmd) {
			c.Mounts = []lfi.Mount{{Path: "/a", FS: fstest.MapFS{}}, {Path: "//a", FS: fstest.MapFS{}}}
		},
		"copy over a directory": func(c *lfi.Cmd) {
			c.Mounts = []lfi.Mount{{Path: "/a", HostDir: "."}, {Path: "/a/b", Data: []byte{}}}
		},
		"two files": func(c *lfi.Cmd) {
			c.Mounts = []lfi.Mount{{Path: "/a/b", Data: []byte{}}, {Path: "/a/b", Data: []byte{}}}
		},
		"file at the root": func(c *lfi.Cmd) { c.Mounts = []lfi.Mount{{Path: "/", Data: []byte{}}} },
		"no directory": func(c *lfi.Cmd) {
			c.Mounts = []lfi.Mount{{Path: "/a", HostDir: "command_test.go"}}
		},
	} {
		cmd := program(t, "hello")
		spoil(cmd)
		if err := cmd.Run(); !errors.Is(err, lfi.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACommandIsUsedOnce(t *testing.T) {
	cmd := program(t, "hello")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
	if _, err := cmd.StdoutPipe(); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
	if err := cmd.Run(); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
	if err := cmd.Kill(); !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

func TestClosedFilesAsStreamsAreErrClosed(t *testing.T) {
	file := must(os.Open(os.DevNull))
	file.Close()
	var none *os.File
	for _, f := range []*os.File{file, none} {
		for _, set := range []func(*lfi.Cmd){
			func(c *lfi.Cmd) { c.Stdin = f }, func(c *lfi.Cmd) { c.Stdout = f }, func(c *lfi.Cmd) { c.Stderr = f },
		} {
			cmd := program(t, "hello")
			set(cmd)
			if err := cmd.Run(); !errors.Is(err, lfi.ErrClosed) || !errors.Is(err, fs.ErrClosed) {
				t.Error(err)
			}
		}
	}
}

// ---- Streams ----

func TestStreamsAreReadersAndWriters(t *testing.T) {
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<14) // more than a pipe has room for
	cmd := program(t, "copy")
	var got, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(sent), &got, &errs
	if err := cmd.Run(); err != nil || !bytes.Equal(got.Bytes(), sent) || errs.Len() != 0 {
		t.Error(err, got.Len(), errs.String())
	}
}

func TestStreamsAreFiles(t *testing.T) {
	folder := t.TempDir()
	in := filepath.Join(folder, "in")
	if err := os.WriteFile(in, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, "copy")
	from, to := must(os.Open(in)), must(os.Create(filepath.Join(folder, "out")))
	defer from.Close()
	defer to.Close()
	cmd.Stdin, cmd.Stdout = from, to
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	if got := must(os.ReadFile(to.Name())); string(got) != "from a file" {
		t.Errorf("%q", got)
	}
}

func TestWithoutStreamsThereIsTheNullDevice(t *testing.T) {
	cmd := program(t, "copy")
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	if err := program(t, "hello").Run(); err != nil {
		t.Error(err)
	}
}

func TestCombinedOutputHasBoth(t *testing.T) {
	said, err := program(t, "hello").CombinedOutput()
	if err != nil || !strings.Contains(string(said), "hello, world\n") || !strings.Contains(string(said), "error\n") {
		t.Errorf("%q, %v", said, err)
	}
}

func TestOutputIsLimited(t *testing.T) {
	for _, run := range []func(*lfi.Cmd) ([]byte, error){(*lfi.Cmd).Output, (*lfi.Cmd).CombinedOutput} {
		cmd := program(t, "flood")
		cmd.MaxOutput = 100_000
		said, err := run(cmd)
		if !errors.Is(err, lfi.ErrLimit) || len(said) == 0 || len(said) > 100_000 {
			t.Error(len(said), err)
		}
	}
}

type failing struct{ err error }

func (w failing) Write([]byte) (int, error) { return 0, w.err }
func (w failing) Read([]byte) (int, error)  { return 0, w.err }

func TestErrorsOfReadersAndWritersAreWaits(t *testing.T) {
	mine := errors.New("mine")
	cmd := program(t, "hello")
	cmd.Stdout = failing{mine}
	if err := cmd.Run(); !errors.Is(err, mine) {
		t.Error(err)
	}
	cmd = program(t, "copy")
	cmd.Stdin = failing{mine}
	if err := cmd.Run(); !errors.Is(err, mine) {
		t.Error(err)
	}
	// The program hears of it.
	cmd = waiter(background, t, "until closed")
	cmd.Stdout = failing{mine}
	var exit *lfi.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Error(err)
	}
	cmd = program(t, "flood")
	cmd.Stdout = failing{mine}
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGPIPE) {
		t.Error(err)
	}
}

func TestInputThatIsNotReadIsNoError(t *testing.T) {
	cmd := program(t, "exit", "0")
	cmd.Stdin = bytes.NewReader(make([]byte, 1<<20))
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

func TestPipes(t *testing.T) {
	cmd := program(t, "copy")
	in, out, errs := must(cmd.StdinPipe()), must(cmd.StdoutPipe()), must(cmd.StderrPipe())
	for _, again := range []error{apart(cmd.StdinPipe()), apart(cmd.StdoutPipe()), apart(cmd.StderrPipe())} {
		if !errors.Is(again, lfi.ErrInvalid) {
			t.Error(again)
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4)
	for _, word := range []string{"one\n", "two\n"} {
		if _, err := io.WriteString(in, word); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, line); err != nil || string(line) != word {
			t.Fatalf("%q, %v", line, err)
		}
	}
	in.Close()
	if rest, err := io.ReadAll(out); err != nil || len(rest) != 0 {
		t.Error(rest, err)
	}
	if rest, err := io.ReadAll(errs); err != nil || len(rest) != 0 {
		t.Error(rest, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}

func TestWaitDelayCutsStreams(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	cmd := program(t, "exit", "0")
	cmd.Stdin, cmd.WaitDelay = r, 20*time.Millisecond
	if err := cmd.Run(); !errors.Is(err, lfi.ErrWaitDelay) {
		t.Error(err)
	}
}

// ---- Files ----

func folderWith(t *testing.T, name, text string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestWithoutMountsThereAreNoFiles(t *testing.T) {
	for _, path := range []string{"/etc/passwd", must(filepath.Abs("command_test.go")), "/proc/self/mem"} {
		said, err := program(t, "read", path).Output()
		if err == nil || string(said) != "No such file or directory\n" {
			t.Errorf("%s: %q, %v", path, said, err)
		}
	}
}

func TestHostDirectories(t *testing.T) {
	folder := folderWith(t, "file", "text\n")
	cmd := program(t, "read", "file")
	cmd.Dir = "/data"
	cmd.Mounts = []lfi.Mount{{Path: "/data", HostDir: folder, ReadOnly: true}}
	expect(t, cmd, "text\n")

	cmd = program(t, "write", "/data/new", "written")
	cmd.Mounts = []lfi.Mount{{Path: "/data", HostDir: folder, ReadOnly: true}}
	if said, err := cmd.Output(); err == nil || string(said) != "Read-only file system\n" {
		t.Errorf("%q, %v", said, err)
	}
	cmd = program(t, "write", "/data/new", "written")
	cmd.Mounts = []lfi.Mount{{Path: "/data", HostDir: folder}}
	expect(t, cmd, "")
	if got := must(os.ReadFile(filepath.Join(folder, "new"))); string(got) != "written" {
		t.Errorf("%q", got)
	}
	cmd = program(t, "hello")
	cmd.Mounts = []lfi.Mount{{Path: "/data", HostDir: filepath.Join(folder, "missing")}}
	if err := cmd.Run(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestFilesInMemory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	tree := fstest.MapFS{
		"a/file": {Data: []byte("in a tree\n")}, "a/b/other": {Data: []byte("deeper\n")}, "empty": {Mode: fs.ModeDir},
	}
	host := folderWith(t, "file", "of the host\n")
	mounts := []lfi.Mount{
		{Path: "/tree/a/added", Data: []byte("added\n")},
		{Path: "/tree/", FS: tree},
		{Path: "/etc/config", Data: []byte("configured\n")},
		{Path: "/etc/deep/er/config", Data: []byte("deeply\n")},
		{Path: "/etc/host", HostDir: host},
		{Path: "/tree/h", HostDir: host, ReadOnly: true},
		{Path: "/tree/h/sub/added", Data: []byte("over the host's\n")},
		{Path: "/nothing", Data: []byte{}},
	}
	for path, want := range map[string]string{
		"/tree/a/file": "in a tree\n", "/tree/a/b/other": "deeper\n", "/tree/a/added": "added\n",
		"/etc/config": "configured\n", "/etc/deep/er/config": "deeply\n", "/etc/host/file": "of the host\n",
		"/tree/h/file": "of the host\n", "/tree/h/sub/added": "over the host's\n",
	} {
		cmd := program(t, "read", path)
		cmd.Mounts = mounts
		expect(t, cmd, want)
	}
	for _, what := range [][]string{
		{"remove", "/tree/a/file"}, {"remove", "/etc/config"}, {"remove", "/tree/empty"},
	} {
		cmd := waiter(background, t, what...)
		cmd.Mounts = mounts
		if said, err := cmd.Output(); err == nil || string(said) != "Read-only file system\n" {
			t.Errorf("%v: %q, %v", what, said, err)
		}
	}
	if left := must(os.ReadDir(os.TempDir())); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

type oneFile struct {
	fs.FS
	entry fs.DirEntry
}

func (o oneFile) ReadDir(string) ([]fs.DirEntry, error) { return []fs.DirEntry{o.entry}, nil }

type badName struct{ fs.DirEntry }

func (badName) Name() string { return "../../outside" }
func (badName) IsDir() bool  { return false }

func TestFileSystemsThatCannotBeCopied(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	good := fstest.MapFS{"file": {Data: []byte("x")}}
	entry := must(good.ReadDir("."))[0]
	folder := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(folder, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]fs.FS{
		"a name that leads out": oneFile{good, badName{entry}},
		"a device":              fstest.MapFS{"file": {Mode: fs.ModeDevice}},
		"a NUL":                 fstest.MapFS{"a\x00b": {Data: []byte("x")}},
	} {
		cmd := program(t, "hello")
		cmd.Mounts = []lfi.Mount{{Path: "/a", FS: one}}
		if err := cmd.Run(); !errors.Is(err, lfi.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cmd := program(t, "hello")
	cmd.Mounts = []lfi.Mount{{Path: "/a", FS: os.DirFS(filepath.Join(folder, "missing"))}}
	if err := cmd.Run(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if left := must(os.ReadDir(os.TempDir())); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// ---- Limits ----

func TestLimitsOfACommand(t *testing.T) {
	cmd := program(t, "take", "64")
	cmd.Limits.Memory = 16 << 20
	said, err := cmd.Output()
	var got int
	if fmt.Sscan(string(said), &got); err != nil || got >= 16 {
		t.Errorf("%q, %v", said, err)
	}
	if peak := cmd.ProcessState.Usage().MemoryPeak; peak == 0 || peak > 16<<20 {
		t.Error(peak)
	}
	cmd = program(t, "spin")
	cmd.Limits.CPU = 20 * time.Millisecond
	if err := cmd.Run(); !errors.Is(err, lfi.ErrLimit) {
		t.Error(err)
	}
	if used := cmd.ProcessState.Usage().CPU; used < 20*time.Millisecond {
		t.Error(used)
	}
}

// ---- Ends ----

var waits = []string{"sleep", "spin", "semaphore", "pipe", "input", "poll", "write", "left sleeping", "left spinning"}

// waiting starts a command with pipes that nobody uses, and lets it come to where it waits.
func waiting(ctx context.Context, t *testing.T, how string) *lfi.Cmd {
	t.Helper()
	cmd := waiter(ctx, t, "wait", how)
	must(cmd.StdinPipe())
	must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	return cmd
}

func TestACancelledContextEndsACommandWhateverItDoes(t *testing.T) {
	mine := errors.New("mine")
	for _, how := range waits {
		ctx, cancel := context.WithCancelCause(background)
		cmd := waiting(ctx, t, how)
		cancel(mine)
		err := cmd.Wait()
		for _, is := range []error{context.Canceled, mine, lfi.ErrInterrupted} {
			if !errors.Is(err, is) {
				t.Errorf("%s: %v is not %v", how, err, is)
			}
		}
		if cmd.ProcessState.Exited() {
			t.Error(how, cmd.ProcessState)
		}
	}
}

func TestADeadlineEndsACommandWhateverItDoes(t *testing.T) {
	for _, how := range waits {
		ctx, cancel := context.WithTimeout(background, 40*time.Millisecond)
		err := waiting(ctx, t, how).Wait()
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, lfi.ErrDeadline) {
			t.Errorf("%s: %v", how, err)
		}
	}
}

func TestKillEndsACommandWhateverItDoes(t *testing.T) {
	for _, how := range waits {
		cmd := waiting(background, t, how)
		if err := cmd.Kill(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); !errors.Is(err, lfi.ErrInterrupted) || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", how, err)
		}
	}
}

func TestWhoReadsFromAKilledProgramComesToTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(background)
	cmd := waiter(ctx, t, "wait", "sleep")
	out := must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, cancel)
	if rest, err := io.ReadAll(out); err != nil || len(rest) != 0 {
		t.Error(rest, err)
	}
	if err := cmd.Wait(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAContextThatIsOverStartsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(background)
	cancel()
	cmd := programContext(ctx, t, "write", "/data/file", "x")
	folder := t.TempDir()
	cmd.Mounts = []lfi.Mount{{Path: "/data", HostDir: folder}}
	if err := cmd.Run(); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "not started") {
		t.Error(err)
	}
	if left := must(os.ReadDir(folder)); len(left) != 0 {
		t.Error(left)
	}
}

func TestAContextCancelledAtAnyMomentEndsACommand(t *testing.T) {
	for i := 0; i < 100; i++ {
		ctx, cancel := context.WithCancel(background)
		time.AfterFunc(time.Duration(i)*20*time.Microsecond, cancel)
		how := waits[i%len(waits)]
		if how == "input" {
			continue // without a stream it is at its end
		}
		if err := waiter(ctx, t, "wait", how).Run(); !errors.Is(err, context.Canceled) {
			t.Errorf("%d: %s: %v", i, how, err)
		}
	}
}

func TestAContextCancelledAtTheStartEndsACommand(t *testing.T) {
	for i := 0; i < 300; i++ {
		ctx, cancel := context.WithCancel(background)
		cmd := waiter(ctx, t, "wait", "sleep")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := cmd.Wait(); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

// ---- What stays ----

type counts struct{ goroutines, threads, files, maps int }

func entries(t testing.TB, folder string) int {
	t.Helper()
	return len(must(os.ReadDir(folder)))
}

func counted(t testing.TB) counts {
	runtime.GC()
	time.Sleep(20 * time.Millisecond)
	runtime.GC()
	return counts{runtime.NumGoroutine(), entries(t, "/proc/self/task"), entries(t, "/proc/self/fd"),
		bytes.Count(must(os.ReadFile("/proc/self/maps")), []byte("\n"))}
}

// oneOfEach runs commands that end in different ways.
func oneOfEach(t *testing.T, i int) {
	t.Helper()
	var cmd *lfi.Cmd
	var want error
	switch i % 5 {
	case 0:
		cmd = program(t, "hello")
	case 1:
		cmd, want = program(t, "crash"), lfi.ErrFault
	case 2:
		ctx, cancel := context.WithTimeout(background, time.Millisecond)
		defer cancel()
		cmd, want = waiter(ctx, t, "wait", waits[i/5%4]), context.DeadlineExceeded
	case 3:
		cmd = program(t, "read", "/tree/file")
		cmd.Mounts = []lfi.Mount{{Path: "/tree", FS: fstest.MapFS{"file": {Data: []byte("x\n")}}}}
	case 4:
		cmd, want = program(t, "hello"), lfi.ErrProgram
		cmd.Image = []byte("no program")
	}
	cmd.Stdin = strings.NewReader("input")
	if _, err := cmd.Output(); !errors.Is(err, want) {
		t.Errorf("run %d: %v", i, err)
	}
}

func TestCommandsLeaveNothingBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	run := func(n int) {
		var group sync.WaitGroup
		for worker := 0; worker < 4; worker++ {
			worker := worker
			group.Add(1)
			go func() {
				defer group.Done()
				for i := 0; i < n/4; i++ {
					oneOfEach(t, worker+4*i)
				}
			}()
		}
		group.Wait()
	}
	run(200)
	before := counted(t)
	run(1000)
	after := counted(t)
	t.Logf("before %+v, after %+v", before, after)
	// Go keeps threads, and arenas of its heap, and starts a thread of its own now and then: fewer than one run in fifty.
	const slack = 20
	if after.goroutines > before.goroutines || after.files > before.files+2 ||
		after.threads > before.threads+slack || after.maps > before.maps+3*slack {
		t.Errorf("%+v were there before 1,000 runs, %+v after", before, after)
	}
	if left := must(os.ReadDir(os.TempDir())); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}
