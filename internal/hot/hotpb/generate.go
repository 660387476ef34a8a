// Package hotpb is the generated form of the internal gRPC interface spanlake.hot.v1.
//
// To generate it again, install protoc (Debian: protobuf-compiler) and the plugins
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
//	go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
//
// and run go generate ./internal/hot/hotpb.
package hotpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative hot.proto
