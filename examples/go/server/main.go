// SPDX-License-Identifier: MIT

// Server is an HTTP server that decodes images which nobody trusts, with a C decoder that nobody should: each request has
// a sandbox of its own, as new as the first one.
//
//	lfi-cc -O2 qoi.c -o qoi.lfi
//	go run . -decoder qoi.lfi &
//	curl --data-binary @image.qoi localhost:8080
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/liblfi/lfi/bindings/go"
)

const (
	headerSize = 14
	maxImage   = 8 << 20  // bytes of a file
	maxPixels  = 32 << 20 // bytes of what it becomes
)

// A decoder hands an image's pixels to use; they are valid until that returns.
type decoder func(data []byte, use func(width, height int, pixels []byte) error) error

func main() {
	path := flag.String("decoder", "qoi.lfi", "qoi.c, compiled by lfi-cc")
	address := flag.String("address", "localhost:8080", "where to listen")
	flag.Parse()
	image, err := os.ReadFile(*path)
	if err != nil {
		log.Fatal(err)
	}
	pool, err := newPool(image)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(*address, handler(sandboxed(pool))))
}

func newPool(image []byte) (*lfi.Pool, error) {
	return lfi.NewPool(image, 4*runtime.NumCPU(), nil, lfi.Output(nil, nil), lfi.WithLimits(lfi.Limits{Memory: 128 << 20}))
}

// roomFor is how many bytes the pixels of an image take, by its header; at least 1, at most maxPixels.
func roomFor(data []byte) int {
	pixels := uint64(binary.BigEndian.Uint32(data[4:])) * uint64(binary.BigEndian.Uint32(data[8:]))
	return int(max(min(4*pixels, maxPixels), 1))
}

// sandboxed decodes in a sandbox of the pool.
func sandboxed(pool *lfi.Pool) decoder {
	return func(data []byte, use func(width, height int, pixels []byte) error) error {
		if len(data) < headerSize {
			return errImage
		}
		// A decoder that does not come to an end is ended.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return pool.Do(ctx, func(lib *lfi.Library) error { return decode(ctx, lib, data, use) })
	}
}

func decode(ctx context.Context, lib *lfi.Library, data []byte, use func(width, height int, pixels []byte) error) error {
	decode, err := lfi.Func5[int64, []byte, int, lfi.Ptr, int, lfi.Ptr](lib, "qoi_decode")
	if err != nil {
		return err
	}
	room := roomFor(data)
	out, err := lib.Alloc(room)
	if err != nil {
		return err
	}
	size, err := lfi.New(lib, [2]uint32{})
	if err != nil {
		return err
	}
	n, err := decode.CallContext(ctx, data, len(data), out, room, size)
	if err != nil {
		return err
	}
	dimensions, err := lfi.Get[[2]uint32](lib, size)
	if err != nil {
		return err
	}
	// What comes out of a sandbox is hostile: numbers are checked before they are used.
	width, height := uint64(dimensions[0]), uint64(dimensions[1])
	if n < 0 || n > int64(room) || width*height*4 != uint64(n) {
		return errImage
	}
	return lib.View(out, int(n), func(pixels []byte) error { return use(int(width), int(height), pixels) })
}

// answer is what the server says of an image.
type answer struct {
	Width, Height int
	Mean          [4]float64
}

func handler(decode decoder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxImage))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		var a answer
		err = decode(data, func(width, height int, pixels []byte) error {
			a = answer{width, height, mean(pixels)}
			return nil
		})
		var fault *lfi.FaultError
		switch {
		case errors.As(err, &fault):
			http.Error(w, fmt.Sprintf("the image broke the decoder: %s in %s", fault.Kind, fault.Symbol), http.StatusUnprocessableEntity)
		case err != nil:
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		default:
			json.NewEncoder(w).Encode(a)
		}
	})
}

func mean(pixels []byte) (m [4]float64) {
	var sum [4]uint64
	for i := 0; i+3 < len(pixels); i += 4 {
		for c := range sum {
			sum[c] += uint64(pixels[i+c])
		}
	}
	for c := range m {
		m[c] = float64(sum[c]) / float64(max(len(pixels)/4, 1))
	}
	return
}
