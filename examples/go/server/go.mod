module github.com/liblfi/lfi/examples/go/server

go 1.22

require github.com/liblfi/lfi/bindings/go v0.0.0

replace github.com/liblfi/lfi/bindings/go => ../../../bindings/go
