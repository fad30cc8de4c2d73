module lfi.test/hosts

go 1.19
