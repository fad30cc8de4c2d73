module lfi.test/goshared

go 1.19
