// SPDX-License-Identifier: MIT

package lfi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"

	"github.com/liblfi/lfi/bindings/go"
)

// programFile stands for a file that lfi-cc has made of tests/python/programs/program.c.
func programFile() string {
	path := filepath.Join(scratch, "program.lfi")
	if err := os.WriteFile(path, image(exampleTB{}, filepath.Join(programs, "program.c")), 0o600); err != nil {
		panic(err)
	}
	return path
}

func ExampleCommand() {
	cmd := lfi.Command(programFile(), "hello")
	cmd.Env = []string{"WHO=sandbox"}
	out, err := cmd.Output()
	fmt.Printf("%s%v\n", out, err)
	// Output:
	// hello, sandbox
	// <nil>
}

func ExampleCmd_Run() {
	cmd := lfi.Command(programFile(), "copy")
	cmd.Stdin = strings.NewReader("from a reader, to a writer\n")
	cmd.Stdout = os.Stdout
	cmd.Limits = lfi.Limits{Memory: 64 << 20, CPU: time.Second}
	err := cmd.Run()
	fmt.Println(err, cmd.ProcessState, cmd.ProcessState.Usage().Memory > 0)
	// Output:
	// from a reader, to a writer
	// <nil> exit status 0 true
}

func ExampleCommandContext() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	err := lfi.CommandContext(ctx, programFile(), "spin").Run() // for ever
	fmt.Println(errors.Is(err, context.DeadlineExceeded), errors.Is(err, lfi.ErrDeadline))
	// Output: true true
}

func ExampleCmd_StdinPipe() {
	cmd := lfi.Command(programFile(), "copy")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprintln(in, "there and back")
	in.Close()
	said, _ := io.ReadAll(out)
	fmt.Printf("%s%v\n", said, cmd.Wait())
	// Output:
	// there and back
	// <nil>
}

func ExampleExitError() {
	err := lfi.Command(programFile(), "exit", "3").Run()
	var exit *lfi.ExitError
	if errors.As(err, &exit) {
		fmt.Println(exit.ExitCode(), exit)
	}
	err = lfi.Command(programFile(), "crash").Run()
	var fault *lfi.FaultError
	if errors.As(err, &fault) {
		fmt.Println(fault.Kind, "in", fault.Symbol)
	}
	// Output:
	// 3 lfi: exit status 3
	// guard hit in main
}

func ExampleMount() {
	folder, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(folder)

	mounts := []lfi.Mount{
		{Path: "/out", HostDir: folder},
		{Path: "/assets", FS: fstest.MapFS{"motto": {Data: []byte("from an fs.FS\n")}}}, // an embed.FS, a zip.Reader, …
		{Path: "/etc/motto", Data: []byte("from a []byte\n")},
	}
	for _, args := range [][]string{
		{"read", "/assets/motto"}, {"read", "/etc/motto"}, {"write", "/out/file", "to a directory of the host\n"},
		{"write", "/assets/new", "x"},
	} {
		cmd := lfi.Command(programFile(), args...)
		cmd.Mounts = mounts
		said, _ := cmd.Output()
		fmt.Print(string(said))
	}
	written, _ := os.ReadFile(filepath.Join(folder, "file"))
	fmt.Print("\n", string(written))
	// Output:
	// from an fs.FS
	// from a []byte
	// Read-only file system
	//
	// to a directory of the host
}
