module github.com/liblfi/lfi/bindings/go

go 1.22
