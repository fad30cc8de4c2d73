// SPDX-License-Identifier: MIT

// Command server makes thumbnails of images that anybody may send, with a C decoder that it does not trust: each request
// has a sandbox of its own, which is reset afterwards. An image that makes the decoder write where it should not ends
// that request, with status 422; the others, and the next, do not notice.
//
//	lfi-cc -O2 -o decoder.lfi decoder.c
//	go run . -decoder decoder.lfi
//	curl --data-binary @picture.qoi http://localhost:8080/ >thumbnail.png
//
// With -unsafe the same decoder is called through cgo, without a sandbox: for comparison, see BenchmarkServer.
package main

/*
#cgo CFLAGS: -O2
#include "decoder.h"
*/
import "C"

import (
	"context"
	"errors"
	"flag"
	"image"
	"image/png"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
	"time"
	"unsafe"

	"github.com/liblfi/lfi/bindings/go"
)

const side = C.THUMBNAIL_SIDE

// A decoder makes the pixels of a thumbnail. It is called by many goroutines at once.
type decoder func(ctx context.Context, data []byte) ([]byte, error)

var errNoImage = errors.New("this is no QOI image")

// native calls the decoder as cgo does: what is wrong with it is wrong with the server.
func native(_ context.Context, data []byte) ([]byte, error) {
	out := make([]byte, side*side*4)
	r := C.thumbnail((*C.uint8_t)(unsafe.SliceData(data)), C.uint64_t(len(data)), (*C.uint8_t)(unsafe.SliceData(out)))
	if r != 0 {
		return nil, errNoImage
	}
	return out, nil
}

// sandboxed takes a sandbox from the pool for each image.
func sandboxed(pool *lfi.Pool) decoder {
	return func(ctx context.Context, data []byte) (pixels []byte, err error) {
		err = pool.Do(ctx, func(lib *lfi.Library) error {
			pixels, err = decodeIn(ctx, lib, data)
			return err
		})
		return pixels, err
	}
}

// decodeIn frees nothing: all that is in the sandbox goes with the reset.
func decodeIn(ctx context.Context, lib *lfi.Library, data []byte) ([]byte, error) {
	thumbnail, err := lfi.Func3[int32, lfi.Ptr, uint64, lfi.Ptr](lib, "thumbnail")
	if err != nil {
		return nil, err
	}
	in, err := lib.Alloc(len(data))
	if err != nil {
		return nil, err
	}
	out, err := lib.Alloc(side * side * 4)
	if err != nil {
		return nil, err
	}
	if err := lib.Write(in, data); err != nil {
		return nil, err
	}
	r, err := thumbnail.CallContext(ctx, in, uint64(len(data)), out)
	if err == nil && r != 0 {
		err = errNoImage
	}
	if err != nil {
		return nil, err
	}
	return lib.Bytes(out, side*side*4)
}

// newPool loads the decoder: as many sandboxes as can run at once.
func newPool(file string) (*lfi.Pool, error) {
	program, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return lfi.NewPool(program, runtime.GOMAXPROCS(0), nil, lfi.WithLimits(lfi.Limits{Memory: 256 << 20}))
}

const (
	mostBytes = 16 << 20
	mostTime  = 2 * time.Second
)

// handler answers POST with a PNG.
func handler(decode decoder) http.Handler {
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "POST an image", http.StatusMethodNotAllowed)
			return
		}
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBytes))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), mostTime)
		defer cancel()
		pixels, err := decode(ctx, data)
		if err != nil {
			http.Error(w, err.Error(), status(err))
			return
		}
		w.Header().Set("Content-Type", "image/png")
		encoder.Encode(w, &image.NRGBA{Pix: pixels, Stride: side * 4, Rect: image.Rect(0, 0, side, side)})
	})
}

// status tells images that the decoder does not get on with from what is the server's matter.
func status(err error) int {
	switch {
	case errors.Is(err, errNoImage), errors.Is(err, lfi.ErrFault):
		return http.StatusUnprocessableEntity
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func main() {
	address := flag.String("listen", "localhost:8080", "where to listen")
	file := flag.String("decoder", "decoder.lfi", "decoder.c, compiled by lfi-cc")
	unsafely := flag.Bool("unsafe", false, "decode without a sandbox")
	flag.Parse()

	decode := decoder(native)
	if !*unsafely {
		pool, err := newPool(*file)
		if err != nil {
			log.Fatal(err)
		}
		decode = sandboxed(pool)
	}
	server := http.Server{Addr: *address, Handler: handler(decode), ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
