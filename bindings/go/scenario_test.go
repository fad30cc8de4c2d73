// SPDX-License-Identifier: MIT

package lfi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/liblfi/lfi/bindings/go"
)

// The list that all faces of the library walk: tests/scenarios/scenarios.toml.

type scenario struct {
	Name    string
	Not     map[string]string
	Needs   string
	Timeout float64

	// Of a library.
	Fresh string
	Boxes int
	Calls [][]any
}

// scenarioList reads the list; Python knows TOML.
func scenarioList(t *testing.T, kind string) []scenario {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatalf("python3 reads the list: %v", err)
	}
	const convert = "import json, sys, tomllib; json.dump(tomllib.load(open(sys.argv[1], 'rb')), sys.stdout)"
	data, err := exec.Command(python, "-c", convert, filepath.Join(scenarios, "scenarios.toml")).Output()
	if err != nil {
		t.Fatalf("scenarios.toml: %v", err)
	}
	list := map[string][]scenario{}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&list); err != nil {
		t.Fatal(err)
	}
	if len(list[kind]) == 0 {
		t.Fatalf("there are no scenarios of a %s", kind)
	}
	return list[kind]
}

// able skips what cannot be, with the reason.
func (s *scenario) able(t *testing.T) {
	t.Helper()
	if why := s.Not["go"]; why != "" {
		t.Skip(why)
	}
	if cpu, err := os.ReadFile("/proc/cpuinfo"); err == nil && !strings.Contains(string(cpu), s.Needs) {
		t.Skipf("this processor has no %s", s.Needs)
	}
}

// errRaised is what a callback fails with.
var errRaised = errors.New("raised")

var scenarioErrors = map[string]error{
	"fault": lfi.ErrFault, "timeout": lfi.ErrDeadline, "interrupted": lfi.ErrInterrupted, "limit": lfi.ErrLimit,
	"verify": lfi.ErrVerify, "program": lfi.ErrProgram, "raised": errRaised,
}

// wanted compares an error with {error = "…", kind = "…"}.
func wanted(t *testing.T, what string, err error, name, kind string) {
	t.Helper()
	var fault *lfi.FaultError
	switch {
	case !errors.Is(err, scenarioErrors[name]):
		t.Errorf("%s: %v, not %s", what, err, name)
	case kind != "" && (!errors.As(err, &fault) || fault.Kind != kind):
		t.Errorf("%s: %v, not %s", what, err, kind)
	}
}

func number[T int | int32 | int64](t *testing.T, value any) T {
	n, err := value.(json.Number).Int64()
	if err != nil {
		t.Fatal(err)
	}
	return T(n)
}

func float(t *testing.T, value any) float64 {
	f, err := value.(json.Number).Float64()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func pointOf(t *testing.T, value any) point {
	m := value.(map[string]any)
	return point{number[int32](t, m["x"]), number[int32](t, m["y"])}
}

// hostFunction is the callback that a scenario names.
func hostFunction(t *testing.T, l *lfi.Library, name string) lfi.Ptr {
	twice := func(x int32) int32 { return 2 * x }
	switch name {
	case "twice":
		return must(lfi.Callback1(l, twice))
	case "nested":
		inner := must(lfi.Callback1(l, twice))
		apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
		return must(lfi.Callback1(l, func(x int32) int32 { return must(apply.Call(inner, x)) }))
	case "raises":
		return must(lfi.Callback1(l, func(int32) int32 { panic(errRaised) }))
	}
	t.Fatalf("no callback is named %s", name)
	return 0
}

// ints calls a function whose parameters and result are ints, if it has so many.
func ints(ctx context.Context, t *testing.T, l *lfi.Library, name string, args []any) (any, error) {
	n := make([]int32, 2)
	for i := range args {
		n[i] = number[int32](t, args[i])
	}
	var got int32
	var err error
	switch len(args) {
	case 0:
		got, err = must(lfi.Func0[int32](l, name)).CallContext(ctx)
	case 1:
		got, err = must(lfi.Func1[int32, int32](l, name)).CallContext(ctx, n[0])
	default:
		got, err = must(lfi.Func2[int32, int32, int32](l, name)).CallContext(ctx, n[0], n[1])
	}
	return int64(got), err
}

// scenarioCall makes a call of the list. A panic of a callback is the error that it is with.
func scenarioCall(ctx context.Context, t *testing.T, l *lfi.Library, name string, args []any) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			if p != errRaised {
				panic(p)
			}
			err = errRaised
		}
	}()
	switch name {
	case "wide":
		return must(lfi.Func1[int64, int64](l, name)).CallContext(ctx, number[int64](t, args[0]))
	case "scale":
		return must(lfi.Func2[float64, float64, float32](l, name)).CallContext(ctx, float(t, args[0]), float32(float(t, args[1])))
	case "mirror":
		return must(lfi.Func1[point, point](l, name)).CallContext(ctx, pointOf(t, args[0]))
	case "many":
		var n [10]int32
		for i := range n {
			n[i] = number[int32](t, args[i])
		}
		got, err := must(lfi.FuncN[int32, [10]int32](l, name)).CallContext(ctx, n)
		return int64(got), err
	case "length":
		got, err := must(lfi.Func1[int32, string](l, name)).CallContext(ctx, args[0].(string))
		return int64(got), err
	case "greeting":
		return must(lfi.Func0[string](l, name)).CallContext(ctx)
	case "apply":
		f := hostFunction(t, l, args[0].(string))
		got, err := must(lfi.Func2[int32, lfi.Ptr, int32](l, name)).CallContext(ctx, f, number[int32](t, args[1]))
		return int64(got), err
	case "write_to":
		return must(lfi.Func1[lfi.Void, lfi.Ptr](l, name)).CallContext(ctx, lfi.Ptr(number[int64](t, args[0])))
	case "give_up", "illegal", "spin":
		return must(lfi.Func0[lfi.Void](l, name)).CallContext(ctx)
	}
	return ints(ctx, t, l, name, args)
}

func (s *scenario) call(t *testing.T, l *lfi.Library, row []any) {
	t.Helper()
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if s.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(s.Timeout*float64(time.Second)))
	}
	defer cancel()
	name, args := row[0].(string), row[1:]
	var want any
	if len(args) > 0 {
		args, want = args[:len(args)-1], args[len(args)-1]
	}
	got, err := scenarioCall(ctx, t, l, name, args)
	what := fmt.Sprintf("%s%v", name, args)
	if m, ok := want.(map[string]any); ok && m["error"] != nil {
		kind, _ := m["kind"].(string)
		wanted(t, what, err, m["error"].(string), kind)
		return
	}
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	switch expect := want.(type) {
	case json.Number:
		if _, ok := got.(float64); ok {
			want = float(t, expect)
		} else {
			want = number[int64](t, expect)
		}
	case map[string]any:
		want = pointOf(t, expect)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %v, not %v", what, got, want)
	}
}

// threads runs each row on a thread of its own: they are all there at once.
func (s *scenario) threads(t *testing.T, l *lfi.Library) {
	stay := make(chan bool)
	ended := make(chan bool)
	for _, row := range s.Calls {
		called := make(chan bool)
		go func(row []any) {
			defer func() { ended <- true }()
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			s.call(t, l, row)
			called <- true
			<-stay
		}(row)
		<-called
	}
	close(stay)
	for range s.Calls {
		<-ended
	}
}

func TestLibraryScenarios(t *testing.T) {
	data := image(t, filepath.Join(scenarios, "library.c"))
	for _, s := range scenarioList(t, "library") {
		t.Run(s.Name, func(t *testing.T) {
			s.able(t)
			switch {
			case s.Boxes > 0 || s.Fresh == "reset":
				p := must(lfi.NewPool(data, max(s.Boxes, 1), nil))
				defer p.Close()
				var taken []*lfi.Library
				for i := 0; i < max(s.Boxes, 1); i++ {
					taken = append(taken, must(p.Take(background)))
				}
				for i, l := range taken {
					for _, row := range s.Calls {
						s.call(t, l, row)
						if s.Fresh == "reset" {
							p.Give(l)
							l = must(p.Take(background))
							taken[i] = l
						}
					}
				}
				for _, l := range taken {
					if err := p.Give(l); err != nil {
						t.Error(err)
					}
				}
			case s.Fresh == "thread":
				s.threads(t, load(t, data))
			default:
				l := load(t, data)
				for _, row := range s.Calls {
					s.call(t, l, row)
					if s.Fresh == "second" {
						l = load(t, data)
					}
				}
			}
		})
	}
}
