// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/binary"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/liblfi/lfi/bindings/go"
)

// pool compiles the decoder with the lfi-cc of a build of the project.
func pool(t testing.TB) *lfi.Pool {
	t.Helper()
	build := os.Getenv("LFI_BUILD")
	if build == "" {
		build = filepath.Join("..", "..", "..", "..", "build", "dev")
	}
	compiler := filepath.Join(build, "bin", "lfi-cc")
	if _, err := os.Stat(compiler); err != nil {
		t.Skipf("no lfi-cc: %v; LFI_BUILD names a build of lfi", err)
	}
	file := filepath.Join(t.TempDir(), "decoder.lfi")
	if said, err := exec.Command(compiler, "-O2", "-o", file, "decoder.c").CombinedOutput(); err != nil {
		t.Fatalf("lfi-cc: %v\n%s", err, said)
	}
	made, err := newPool(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := made.Close(); err != nil {
			t.Error(err)
		}
	})
	return made
}

func header(width, height uint32) []byte {
	data := binary.BigEndian.AppendUint32([]byte("qoif"), width)
	data = binary.BigEndian.AppendUint32(data, height)
	return append(data, 4, 0)
}

// picture is one with gradients and edges: pixels as they are, small differences and repetitions.
func picture(width, height int) []byte {
	data := header(uint32(width), uint32(height))
	for y := 0; y < height; y++ {
		for x := 0; x < width; {
			switch n := min(width-x, 16); {
			case x%64 == 0:
				data = append(data, 0xfe, byte(x), byte(y), byte(x^y))
				x++
			case x/64%3 == 0 && n > 1:
				data = append(data, 0xc0|byte(n-1))
				x += n
			case x/64%3 == 1:
				data = append(data, 0x80|byte(x+y)&63, byte(x*7+y))
				x++
			default:
				data = append(data, 0x40|byte(x*5+y)&63)
				x++
			}
		}
	}
	return append(data, 0, 0, 0, 0, 0, 0, 0, 1)
}

func post(t testing.TB, client *http.Client, url string, data []byte) (int, []byte) {
	t.Helper()
	answer, err := client.Post(url, "image/qoi", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, body
}

func serve(t testing.TB, decode decoder) *httptest.Server {
	server := httptest.NewServer(handler(decode))
	t.Cleanup(server.Close)
	return server
}

func TestBothHandlersMakeTheSameThumbnail(t *testing.T) {
	one, other := serve(t, sandboxed(pool(t))), serve(t, native)
	for _, size := range [][2]int{{1, 1}, {64, 64}, {100, 7}, {300, 200}} {
		data := picture(size[0], size[1])
		status, a := post(t, one.Client(), one.URL, data)
		_, b := post(t, other.Client(), other.URL, data)
		if status != http.StatusOK || !bytes.Equal(a, b) {
			t.Error(size, status, len(a), len(b))
		}
		if image, err := png.Decode(bytes.NewReader(a)); err != nil || image.Bounds().Dx() != side {
			t.Error(err)
		}
	}
}

func TestAnEvilImageEndsItsOwnRequest(t *testing.T) {
	server := serve(t, sandboxed(pool(t)))
	good := picture(100, 100)
	_, want := post(t, server.Client(), server.URL, good)
	// A row of 2^30 + 1 pixels, in memory for one; a megabyte of repetitions.
	evil := append(header(1<<30+1, 1), bytes.Repeat([]byte{0xfd}, 1<<20)...)
	var group sync.WaitGroup
	for i := 0; i < 8; i++ {
		i := i
		group.Add(1)
		go func() {
			defer group.Done()
			if i%2 == 0 {
				if status, said := post(t, server.Client(), server.URL, evil); status != http.StatusUnprocessableEntity {
					t.Errorf("%d %s", status, said)
				}
			} else if status, got := post(t, server.Client(), server.URL, good); status != http.StatusOK || !bytes.Equal(got, want) {
				t.Error(status)
			}
		}()
	}
	group.Wait()
}

func TestWhatIsNoImageIsRefused(t *testing.T) {
	server := serve(t, sandboxed(pool(t)))
	for _, data := range [][]byte{nil, []byte("GIF89a"), header(0, 5), header(1, 1), picture(64, 64)[:300]} {
		if status, said := post(t, server.Client(), server.URL, data); status != http.StatusUnprocessableEntity {
			t.Errorf("%d %s", status, said)
		}
	}
	if status, _ := post(t, server.Client(), server.URL, make([]byte, mostBytes+1)); status != http.StatusRequestEntityTooLarge {
		t.Error(status)
	}
}

// burst sends so many requests with as many clients as there are processors, and says how long they took.
func burst(b *testing.B, server *httptest.Server, data []byte, requests int) time.Duration {
	var group sync.WaitGroup
	clients := runtime.GOMAXPROCS(0)
	begin := time.Now()
	for i := 0; i < clients; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := 0; n < requests/clients; n++ {
				if status, said := post(b, server.Client(), server.URL, data); status != http.StatusOK {
					b.Errorf("%d %s", status, said)
					return
				}
			}
		}()
	}
	group.Wait()
	return time.Since(begin)
}

// BenchmarkServer sends images over the loopback device: bursts to the one handler and the other in turn, so that
// whatever else the machine does comes to both. The numbers are medians.
func BenchmarkServer(b *testing.B) {
	requests := 8 * runtime.GOMAXPROCS(0)
	data := picture(512, 512)
	one, other := serve(b, sandboxed(pool(b))), serve(b, native)
	for _, server := range []*httptest.Server{one, other} {
		server.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = runtime.GOMAXPROCS(0)
		burst(b, server, data, requests)
	}
	var fast, safe, ratio []float64
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		s, f := burst(b, one, data, requests), burst(b, other, data, requests)
		safe = append(safe, float64(requests)/s.Seconds())
		fast = append(fast, float64(requests)/f.Seconds())
		ratio = append(ratio, f.Seconds()/s.Seconds())
	}
	b.ReportMetric(median(safe), "sandboxed-requests/s")
	b.ReportMetric(median(fast), "native-requests/s")
	b.ReportMetric(median(ratio), "sandboxed/native")
}

func median(list []float64) float64 {
	sort.Float64s(list)
	return list[len(list)/2]
}
