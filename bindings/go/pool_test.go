// SPDX-License-Identifier: MIT

package lfi_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/liblfi/lfi/bindings/go"
)

var background = context.Background()

func pool(t testing.TB, n int, setup func(*lfi.Library) error) *lfi.Pool {
	t.Helper()
	p, err := lfi.NewPool(image(t, filepath.Join(programs, "library.c")), n, setup)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return p
}

func count(l *lfi.Library) int32 {
	return must(must(lfi.Func0[int32](l, "count")).Call())
}

func TestEachJobHasAFreshSandbox(t *testing.T) {
	var seven lfi.Ptr
	p := pool(t, 2, func(l *lfi.Library) error {
		count(l)
		var err error
		seven, err = l.Callback(func(self *lfi.Library, x int32) int32 { return x + 10*count(self) })
		return err
	})
	for i := 0; i < 10; i++ {
		err := p.Do(background, func(l *lfi.Library) error {
			if n := count(l); n != 4 {
				t.Errorf("count is %d", n)
			}
			apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
			if n := must(apply.Call(seven, 1)); n != 52 {
				t.Errorf("the callback of the setup: %d", n)
			}
			if i%3 == 1 {
				must(l.Callback(func() {}))
			}
			must(l.Alloc(100000))
			_, err := must(lfi.Func1[lfi.Void, lfi.Ptr](l, "write_to")).Call(0)
			return err
		})
		if !errors.Is(err, lfi.ErrFault) {
			t.Fatal(err)
		}
	}
}

func TestALibraryThatWasGivenBackIsClosed(t *testing.T) {
	p := pool(t, 1, nil)
	l := must(p.Take(background))
	f := must(lfi.Func0[int32](l, "count"))
	must(f.Call())
	if err := p.Give(l); err != nil {
		t.Fatal(err)
	}
	other := must(p.Take(background))
	if _, err := f.Call(); !errors.Is(err, lfi.ErrClosed) {
		t.Error(err)
	}
	if err := p.Give(l); !errors.Is(err, lfi.ErrClosed) {
		t.Error(err)
	}
	if n := count(other); n != 3 {
		t.Errorf("count is %d", n)
	}
	if err := other.Close(); err != nil { // which is to give it back
		t.Error(err)
	}
	p.Give(must(p.Take(background)))
}

func TestWhoComesWhenAllAreTakenWaits(t *testing.T) {
	p := pool(t, 1, nil)
	l := must(p.Take(background))
	short, cancel := context.WithTimeout(background, 10*time.Millisecond)
	defer cancel()
	if _, err := p.Take(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := p.Take(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	go p.Give(l)
	l, err := p.Take(background)
	if err != nil {
		t.Fatal(err)
	}
	go p.Close()
	if _, err := p.Take(background); !errors.Is(err, lfi.ErrClosed) {
		t.Error(err)
	}
	if err := p.Give(l); err != nil {
		t.Error(err)
	}
}

func TestAPoolSaysWhatIsWrong(t *testing.T) {
	data := image(t, filepath.Join(programs, "library.c"))
	mine := errors.New("mine")
	if _, err := lfi.NewPool(data, 0, nil); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
	if _, err := lfi.NewPool(data, 1, func(*lfi.Library) error { return mine }); err != mine {
		t.Error(err)
	}
	if _, err := lfi.NewPool(nil, 1, nil); !errors.Is(err, lfi.ErrProgram) {
		t.Error(err)
	}
	p := pool(t, 1, nil)
	if err := p.Give(library(t)); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
	if err := p.Give(nil); !errors.Is(err, lfi.ErrInvalid) {
		t.Error(err)
	}
}

func TestASandboxThatSomebodyStaysInIsReplaced(t *testing.T) {
	p := pool(t, 1, nil)
	reached, leave, left := make(chan bool), make(chan bool), make(chan error)
	var kept *lfi.Library
	err := p.Do(background, func(l *lfi.Library) error {
		kept = l
		apply := must(lfi.Func2[int32, lfi.Ptr, int32](l, "apply"))
		wait := must(lfi.Callback1(l, func(x int32) int32 {
			reached <- true
			<-leave
			return x
		}))
		go func() { left <- apart(apply.Call(wait, 1)) }()
		<-reached
		return nil
	})
	if !errors.Is(err, lfi.ErrBusy) {
		t.Error(err)
	}
	for i := 0; i < 3; i++ {
		err := p.Do(background, func(l *lfi.Library) error {
			if l == kept || count(l) != 3 {
				t.Error("it is not another sandbox")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if err := p.Give(kept); !errors.Is(err, lfi.ErrClosed) {
		t.Error(err)
	}
	leave <- true
	if err := <-left; !errors.Is(err, lfi.ErrInterrupted) {
		t.Error(err)
	}
	if err := kept.Close(); err != nil {
		t.Error(err)
	}
}

func TestAPanicInAJobGivesItsSandboxBack(t *testing.T) {
	p := pool(t, 1, nil)
	for i := 0; i < 3; i++ {
		func() {
			defer func() {
				if got := recover(); got != "mine" {
					t.Errorf("recovered %v", got)
				}
			}()
			p.Do(background, func(l *lfi.Library) error {
				if n := count(l); n != 3 {
					t.Errorf("count is %d", n)
				}
				panic("mine")
			})
		}()
	}
}
