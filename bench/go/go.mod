module github.com/liblfi/lfi/bench/go

go 1.22

require (
	github.com/liblfi/lfi/bindings/go v0.0.0
	github.com/tetratelabs/wazero v1.8.2
)

replace github.com/liblfi/lfi/bindings/go => ../../bindings/go
