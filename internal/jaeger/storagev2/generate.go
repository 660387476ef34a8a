// Package storagev2 is the generated form of Jaeger's remote storage API, version 2: the gRPC services of jaeger.storage.v2.
//
// The .proto files are those of github.com/jaegertracing/jaeger-idl v0.14.0, under the Apache License 2.0; what is changed in them is said
// at their beginning. The module itself has no Go code of them, and Jaeger's own is internal to Jaeger.
//
// To generate it again, install protoc (Debian: protobuf-compiler) and the plugins
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
//	go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
//
// and run go generate ./internal/jaeger/storagev2.
package storagev2

//go:generate protoc -I. --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative capabilities.proto dependency_storage.proto trace_storage.proto
