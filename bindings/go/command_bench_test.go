// SPDX-License-Identifier: MIT

package lfi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/liblfi/lfi/bindings/go"
)

// BenchmarkHello runs a program that says hello: in a sandbox, and as a process of the host, linked in two ways.
func BenchmarkHello(b *testing.B) {
	source := filepath.Join("testdata", "hello.c")
	sandboxed := filepath.Join(b.TempDir(), "hello.lfi")
	if err := os.WriteFile(sandboxed, image(b, source), 0o600); err != nil {
		b.Fatal(err)
	}
	dynamic, static := native(b, source), native(b, source, "-static")
	for _, one := range []struct {
		name string
		run  func() ([]byte, error)
	}{
		{"lfi", func() ([]byte, error) { return lfi.Command(sandboxed).Output() }},
		{"exec-static", func() ([]byte, error) { return exec.Command(static).Output() }},
		{"exec", func() ([]byte, error) { return exec.Command(dynamic).Output() }},
	} {
		b.Run(one.name, func(b *testing.B) {
			for i := 0; i < b.N; i++ {
				if said, err := one.run(); err != nil || string(said) != "hello\n" {
					b.Fatalf("%q, %v", said, err)
				}
			}
		})
	}
}

// native compiles a program for the host.
func native(b *testing.B, source string, flags ...string) string {
	b.Helper()
	out := filepath.Join(b.TempDir(), "native")
	if said, err := exec.Command("cc", append([]string{source, "-O2", "-o", out}, flags...)...).CombinedOutput(); err != nil {
		b.Fatalf("cc: %v\n%s", err, said)
	}
	return out
}
