// SPDX-License-Identifier: MIT

package lfi_test

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/liblfi/lfi/bindings/go"
)

// The tests compile programs for the sandbox with the lfi-cc of a build of the project.
var (
	root  = filepath.Join("..", "..")
	build = func() string {
		if folder := os.Getenv("LFI_BUILD"); folder != "" {
			return folder
		}
		return filepath.Join(root, "build", "dev")
	}()
	scenarios = filepath.Join(root, "tests", "scenarios")
	programs  = filepath.Join(root, "tests", "python", "programs")
)

var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "lfi-go"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(scratch)
	os.Exit(status)
}

var images struct {
	sync.Mutex
	made map[string][]byte
}

// image compiles a C file, once.
func image(t testing.TB, source string, flags ...string) []byte {
	t.Helper()
	images.Lock()
	defer images.Unlock()
	key := source + strings.Join(flags, " ")
	if made := images.made[key]; made != nil {
		return made
	}
	compiler := filepath.Join(build, "bin", "lfi-cc")
	if _, err := os.Stat(compiler); err != nil {
		if os.Getenv("LFI_BUILD") != "" {
			t.Fatalf("LFI_BUILD has no lfi-cc: %v", err)
		}
		t.Skipf("no lfi-cc: %v; LFI_BUILD names a build of lfi", err)
	}
	out := filepath.Join(scratch, fmt.Sprintf("%d.lfi", len(images.made)))
	args := append([]string{source, "-I", scenarios, "-O2", "-fno-omit-frame-pointer", "-o", out, "-lm"}, flags...)
	if said, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("lfi-cc %v: %v\n%s", args, err, said)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if images.made == nil {
		images.made = map[string][]byte{}
	}
	images.made[key] = data
	return data
}

func library(t testing.TB, options ...lfi.Option) *lfi.Library {
	t.Helper()
	return load(t, image(t, filepath.Join(programs, "library.c")), options...)
}

func load(t testing.TB, image []byte, options ...lfi.Option) *lfi.Library {
	t.Helper()
	l, err := lfi.Load(image, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return l
}

// must is for what cannot fail in a test.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// codeOf finds the first byte of a program's code.
func codeOf(t testing.TB, image []byte) uint64 {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			return p.Off
		}
	}
	t.Fatal("the program has no code")
	return 0
}
