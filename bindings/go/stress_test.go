// SPDX-License-Identifier: MIT

package lfi_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/liblfi/lfi/bindings/go"
)

// stressTime is how long TestStress takes: LFI_STRESS_SECONDS, or two seconds.
func stressTime() time.Duration {
	if n, err := strconv.Atoi(os.Getenv("LFI_STRESS_SECONDS")); err == nil {
		return time.Duration(n) * time.Second
	}
	return 2 * time.Second
}

// A thousand goroutines in two hundred sandboxes: calls, callbacks, faults, panics, deadlines; sandboxes are given back
// meanwhile, closed and forgotten.
func TestStress(t *testing.T) {
	const goroutines, shared, pooled = 1000, 100, 100
	stop := goWork()
	defer stop()
	data := image(t, filepath.Join(programs, "library.c"))
	p := must(lfi.NewPool(data, pooled, nil))
	defer p.Close()
	var boxes [shared]atomic.Pointer[lfi.Library]
	for i := range boxes {
		boxes[i].Store(must(lfi.Load(data, lfi.Threads(4))))
	}
	ctx, cancel := context.WithTimeout(background, stressTime())
	defer cancel()
	var rounds atomic.Int64
	var group sync.WaitGroup
	for g := 0; g < goroutines; g++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := g; ctx.Err() == nil; n++ {
				rounds.Add(1)
				switch {
				case n%50 == 0:
					renew(t, data, &boxes[n/50%shared])
				case n%3 == 0:
					err := p.Do(ctx, func(l *lfi.Library) error {
						if got := count(l); got != 3 {
							t.Errorf("a sandbox of the pool is not fresh: %d", got)
						}
						return work(t, l, n)
					})
					tolerate(t, err, ctx)
				default:
					tolerate(t, work(t, boxes[n%shared].Load(), n), ctx)
				}
			}
		}()
	}
	group.Wait()
	t.Logf("%d rounds", rounds.Load())
	for i := range boxes {
		if err := boxes[i].Load().Close(); err != nil {
			t.Error(err)
		}
	}
}

// renew puts another sandbox in the place of one, which is closed, or forgotten when somebody is in it.
func renew(t *testing.T, data []byte, at *atomic.Pointer[lfi.Library]) {
	made, err := lfi.Load(data, lfi.Threads(4))
	if err != nil {
		t.Error(err)
		return
	}
	if err := at.Swap(made).Close(); err != nil && !errors.Is(err, lfi.ErrBusy) {
		t.Error(err)
	}
}

// tolerate knows which errors others may cause.
func tolerate(t *testing.T, err error, ctx context.Context) {
	if err != nil && !errors.Is(err, lfi.ErrClosed) && !(errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil) {
		t.Error(err)
	}
}

// work does one of the things that can be done with a library.
func work(t *testing.T, l *lfi.Library, n int) error {
	add, err := lfi.Func2[int32, int32, int32](l, "add")
	if err != nil {
		return err
	}
	if got, err := add.Call(int32(n), 1); err != nil {
		return err
	} else if got != int32(n)+1 {
		t.Errorf("%d + 1 = %d", n, got)
	}
	switch n % 7 {
	case 0:
		f, err := lfi.Func1[lfi.Void, lfi.Ptr](l, "write_to")
		if err != nil {
			return err
		}
		if _, err := f.Call(0); !errors.Is(err, lfi.ErrFault) {
			return err
		}
	case 1:
		return workCallback(t, l, add, n)
	case 2:
		f, err := lfi.Func1[int, string](l, "length")
		if err != nil {
			return err
		}
		if got, err := f.Call("seven c"); err != nil {
			return err
		} else if got != 7 {
			t.Errorf("length is %d", got)
		}
	case 3:
		f, err := lfi.Func0[lfi.Void](l, "spin")
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(background, time.Millisecond)
		defer cancel()
		if _, err := f.CallContext(short); !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	return nil
}

// workCallback has the sandbox call Go, which calls again and sometimes panics.
func workCallback(t *testing.T, l *lfi.Library, add lfi.Fn2[int32, int32, int32], n int) (err error) {
	apply, err := lfi.Func2[int32, lfi.Ptr, int32](l, "apply")
	if err != nil {
		return err
	}
	f, err := lfi.Callback1(l, func(x int32) int32 {
		if n%2 == 0 {
			panic(n)
		}
		got, err := add.Call(x, x)
		if err != nil {
			panic(err)
		}
		return got
	})
	if err != nil {
		return err
	}
	defer l.Uncallback(f) // the library may be closed
	defer func() {
		if r := recover(); r != nil {
			if failed, ok := r.(error); ok {
				err = failed
			} else if r != n {
				t.Errorf("a panic of another call: %v", r)
			}
		}
	}()
	got, err := apply.Call(f, 5)
	if err == nil && got != 11 {
		t.Errorf("apply gave %d", got)
	}
	return err
}
