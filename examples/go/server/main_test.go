// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// qoi encodes an image plainly: literal pixels and runs.
func qoi(width, height int, color func(x, y int) [4]byte) []byte {
	out := []byte("qoif")
	out = binary.BigEndian.AppendUint32(out, uint32(width))
	out = binary.BigEndian.AppendUint32(out, uint32(height))
	out = append(out, 4, 0)
	run, last := 0, [4]byte{0, 0, 0, 255}
	flush := func() {
		if run > 0 {
			out = append(out, 0xc0|byte(run-1))
			run = 0
		}
	}
	for y := 0; y < height; y++ {
		for x := 0; x < width; x++ {
			px := color(x, y)
			if px == last && run < 62 {
				run++
				continue
			}
			flush()
			if px == last {
				run = 1
				continue
			}
			out = append(append(out, 0xff), px[:]...)
			last = px
		}
	}
	flush()
	return append(out, 0, 0, 0, 0, 0, 0, 0, 1)
}

func stripes(x, y int) [4]byte { return [4]byte{byte(y), byte(x / 16 * 16), 100, 255} }

// decoders are the two that are compared.
func decoders(t testing.TB) map[string]decoder {
	t.Helper()
	out := filepath.Join(t.TempDir(), "qoi.lfi")
	compiler := filepath.Join(os.Getenv("LFI_BUILD"), "bin", "lfi-cc")
	if said, err := exec.Command(compiler, "-O2", "-fno-omit-frame-pointer", "qoi.c", "-o", out).CombinedOutput(); err != nil {
		if os.Getenv("LFI_BUILD") != "" {
			t.Fatalf("LFI_BUILD compiles no program for the sandbox: %v %s", err, said)
		}
		t.Skipf("no program for the sandbox: LFI_BUILD is to name a build of lfi: %v %s", err, said)
	}
	image, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := newPool(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return map[string]decoder{"sandboxed": sandboxed(pool), "native": native}
}

func post(t testing.TB, server *httptest.Server, data []byte) (status int, said string) {
	t.Helper()
	response, err := server.Client().Post(server.URL, "image/qoi", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestBothDecodersSeeTheSame(t *testing.T) {
	image := qoi(64, 32, stripes)
	answers := map[string]string{}
	for name, decode := range decoders(t) {
		server := httptest.NewServer(handler(decode))
		status, said := post(t, server, image)
		server.Close()
		if status != http.StatusOK || !strings.Contains(said, `"Width":64,"Height":32,"Mean":[15.5,24,100,255]`) {
			t.Errorf("%s: %d %s", name, status, said)
		}
		answers[name] = said
	}
	if answers["native"] != answers["sandboxed"] {
		t.Error(answers)
	}
}

func TestImagesThatBreakTheDecoderDoNotBreakTheServer(t *testing.T) {
	server := httptest.NewServer(handler(decoders(t)["sandboxed"]))
	defer server.Close()
	good := qoi(64, 32, stripes)
	// Runs that go far beyond the image: the decoder writes until memory ends.
	beyond := append(append([]byte{}, good[:14]...), bytes.Repeat([]byte{0xfd}, 100)...)
	// An image that ends in its middle: the decoder reads until memory ends.
	short := append([]byte("qoif\x00\x00\x10\x00\x00\x00\x08\x00\x04\x00"), bytes.Repeat([]byte{0xff}, 10)...)
	for name, bad := range map[string][]byte{
		"nothing": nil, "text": []byte("this is a text and no image"), "runs": beyond, "short": short,
		"huge": append([]byte("qoif\xff\xff\xff\xff\xff\xff\xff\xff\x04\x00"), good[14:]...),
	} {
		if status, said := post(t, server, bad); status == http.StatusInternalServerError {
			t.Errorf("%s: %d %s", name, status, said)
		}
		if status, said := post(t, server, good); status != http.StatusOK {
			t.Errorf("after %s: %d %s", name, status, said)
		}
	}
}

// Requests per second, with and without a sandbox, of an image of 512 by 512 pixels.
func BenchmarkServer(b *testing.B) {
	image := qoi(512, 512, stripes)
	all := decoders(b)
	for _, name := range []string{"native", "sandboxed"} {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(handler(all[name]))
			defer server.Close()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if status, said := post(b, server, image); status != http.StatusOK {
						b.Error(status, said)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
