package otlp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// certificate makes a certificate that signs itself, as files and for a client.
func certificate(t *testing.T, name string) (certFile, keyFile string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: signed}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if pair, err = tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile, pair
}

// TestTLS exports over TLS on both transports, over HTTP/1.1 and HTTP/2, with and without certificates of clients.
func TestTLS(t *testing.T) {
	certFile, keyFile, server := certificate(t, "server")
	clientFile, _, client := certificate(t, "client")
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Leaf)
	for name, clientCA := range map[string]string{"any client": "", "known clients": clientFile} {
		t.Run(name, func(t *testing.T) {
			r := start(t, func(o *Options) { o.TLS = TLS{CertFile: certFile, KeyFile: keyFile, ClientCAFile: clientCA} })
			for _, known := range []bool{true, false} {
				config := &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
				if known {
					config.Certificates = []tls.Certificate{client}
				}
				want := known || clientCA == ""

				conn := r.dial(t, grpc.WithTransportCredentials(credentials.NewTLS(config)))
				_, err := ptraceotlp.NewGRPCClient(conn).Export(t.Context(), spansOf(1))
				if (err == nil) != want || err != nil && status.Code(err) != codes.Unavailable {
					t.Errorf("gRPC, known %v: %v", known, err)
				}
				for _, http2 := range []bool{false, true} {
					protocols := new(http.Protocols)
					protocols.SetHTTP1(!http2)
					protocols.SetHTTP2(http2)
					transport := &http.Transport{TLSClientConfig: config.Clone(), Protocols: protocols}
					response, err := (&http.Client{Transport: transport}).Post("https://"+r.HTTPAddr().String()+tracesPath, contentProtobuf,
						bytes.NewReader(encoded(t, spansOf(20_000))))
					if (err == nil) != want {
						t.Errorf("HTTP/2 %v, known %v: %v", http2, known, err)
					}
					if err == nil {
						if _, err := io.Copy(io.Discard, response.Body); err != nil {
							t.Error(err)
						}
						_ = response.Body.Close()
						if response.StatusCode != http.StatusOK || response.ProtoAtLeast(2, 0) != http2 {
							t.Errorf("HTTP/2 %v: got %s %s", http2, response.Proto, response.Status)
						}
					}
					transport.CloseIdleConnections()
				}
			}
			// Without TLS nothing is taken.
			if _, err := ptraceotlp.NewGRPCClient(r.dial(t)).Export(t.Context(), spansOf(1)); err == nil {
				t.Error("gRPC without TLS is served")
			}
		})
	}
}

func TestTLSFilesThatAreNotThere(t *testing.T) {
	for name, options := range map[string]Options{"gRPC": {GRPC: "127.0.0.1:0"}, "HTTP": {HTTP: "127.0.0.1:0"}} {
		options.TLS = TLS{CertFile: "no-such.pem", KeyFile: "no-such-key.pem"}
		server, err := New(t.Context(), options, &shelf{})
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Start(t.Context()); err == nil {
			t.Errorf("%s: starts without a certificate", name)
		}
	}
}

// TestSlowRequestsOverHTTP2 ends a request over HTTP/2 that never ends, and leaves the connection to others.
func TestSlowRequestsOverHTTP2(t *testing.T) {
	certFile, keyFile, server := certificate(t, "server")
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Leaf)
	r := start(t, func(o *Options) {
		o.TLS, o.ReadTimeout = TLS{CertFile: certFile, KeyFile: keyFile}, 200*time.Millisecond
	})
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}, Protocols: protocols}
	defer transport.CloseIdleConnections()
	url := "https://" + r.HTTPAddr().String() + tracesPath
	never, end := io.Pipe()
	defer func() { _ = end.Close() }()
	response, err := (&http.Client{Transport: transport}).Post(url, contentProtobuf, struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(make([]byte, 1000)), never), never})
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("got %s", response.Status)
	}
	response, err = (&http.Client{Transport: transport}).Post(url, contentProtobuf, bytes.NewReader(encoded(t, spansOf(1))))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the next request: %s", response.Status)
	}
}
