//go:build unix

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// caller sends one span over each transport, with a key or without.
type caller struct {
	r      *running
	grpc   collector.TraceServiceClient
	http   *http.Client
	scheme string
	sent   uint64 // how many spans were accepted
}

func (r *running) caller() *caller {
	return &caller{r: r, grpc: r.dial(), http: http.DefaultClient, scheme: "http"}
}

// send returns the answers of gRPC and HTTP to a request with these headers.
func (c *caller) send(headers ...string) (code codes.Code, status int) {
	c.r.t.Helper()
	ctx := metadata.AppendToOutgoingContext(c.r.t.Context(), headers...)
	_, err := c.grpc.Export(ctx, spansFrom("svc", c.sent+1, 1, 10))
	if code = grpcCode(err); code == codes.OK {
		c.sent++
	}
	data, err := proto.Marshal(spansFrom("svc", c.sent+1, 1, 10))
	if err != nil {
		c.r.t.Fatal(err)
	}
	got, err := c.r.postWith(c.r.t.Context(), c.http, c.scheme, bytes.NewReader(data), headers...)
	if err != nil {
		c.r.t.Fatalf("%v\n%s", err, c.r.stderr)
	}
	if got.code == http.StatusOK {
		c.sent++
	}
	return code, got.code
}

func (c *caller) expectAccepted(what string, headers ...string) {
	c.r.t.Helper()
	if code, status := c.send(headers...); code != codes.OK || status != http.StatusOK {
		c.r.t.Errorf("%s: %v and %d, want OK and 200", what, code, status)
	}
}

func (c *caller) expectRefused(what string, headers ...string) {
	c.r.t.Helper()
	if code, status := c.send(headers...); code != codes.Unauthenticated || status != http.StatusUnauthorized {
		c.r.t.Errorf("%s: %v and %d, want Unauthenticated and 401", what, code, status)
	}
}

// until waits until a request is answered otherwise than before, no longer than a second and what a busy machine adds.
func (c *caller) until(what string, code codes.Code, headers ...string) {
	c.r.t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if got, _ := c.send(headers...); got == code {
			return
		}
		if time.Since(began) > 3*time.Second {
			c.r.t.Fatalf("%s took longer than 3 s", what)
		}
	}
}

// Keys are made, listed and revoked while the server runs, and nobody but their owner ever sees them.
func TestKeysWhileTheServerRuns(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	r := p.ingest("--verbose")
	c := r.caller()
	c.expectAccepted("as long as there is no key")

	create := func(name string) string {
		t.Helper()
		got := p.run("keys", "create", name)
		key := strings.TrimSuffix(got.stdout, "\n")
		if got.code != 0 || len(key) < 32 || strings.ContainsAny(key, " \n") || strings.Contains(got.stderr, key) {
			t.Fatalf("keys create: exit code %d, %q, %q", got.code, got.stdout, got.stderr)
		}
		return key
	}
	first := create("first")
	c.until("the first key", codes.Unauthenticated)
	c.expectRefused("without a key")
	c.expectAccepted("as a bearer", "authorization", "Bearer "+first)
	c.expectAccepted("in the other header", "x-junjo-api-key", first)
	wrong := first[:len(first)-1] + "?"
	c.expectRefused("with a wrong key", "authorization", "Bearer "+wrong)
	c.expectRefused("with half a key", "x-junjo-api-key", first[:len(first)/2])
	c.expectRefused("with an empty key", "x-junjo-api-key", "")
	c.expectRefused("as a password", "authorization", "Basic "+first)

	second := create("second")
	c.until("the second key", codes.OK, "x-junjo-api-key", second)
	if got := p.run("keys", "create", "second"); got.code == 0 || !strings.Contains(got.stderr, "second") && !strings.Contains(got.stderr, "exists") {
		t.Errorf("a name that is taken: exit code %d, %q", got.code, got.stderr)
	}
	if got := p.must("keys", "revoke", "first"); !strings.Contains(got, "first") {
		t.Errorf("keys revoke prints %q", got)
	}
	c.until("the end of the first key", codes.Unauthenticated, "x-junjo-api-key", first)
	c.expectRefused("with a revoked key", "x-junjo-api-key", first)
	c.expectAccepted("with the other one", "x-junjo-api-key", second)
	if got := p.run("keys", "revoke", "nobody"); got.code != 1 || !strings.Contains(got.stderr, "keys list") {
		t.Errorf("a key that is not there: exit code %d, %q", got.code, got.stderr)
	}

	type listed struct {
		Name      string     `json:"name"`
		RevokedAt *time.Time `json:"revoked_at"`
	}
	list := decode[[]listed](t, p.must("keys", "list", "--json"))
	if len(list) != 2 || list[0].Name != "first" || list[0].RevokedAt == nil || list[1].Name != "second" || list[1].RevokedAt != nil {
		t.Errorf("keys list has %+v", list)
	}
	table := p.must("keys", "list")
	p.must("keys", "revoke", "second")
	c.until("the end of the last key", codes.Unauthenticated, "x-junjo-api-key", second)
	c.expectRefused("revoking all keys opens to nobody")
	if err := os.Remove(filepath.Join(p.folder, ".dbdata", "keys.json")); err != nil {
		t.Error(err)
	}
	time.Sleep(1200 * time.Millisecond) // it looks at the file every second
	c.expectRefused("removing the file opens to nobody")

	_, metrics := r.get("/metrics")
	if got := metric(metrics, `spanlake_ingest_spans_refused_total{reason="unauthenticated"}`); got < 0 {
		t.Error("what was refused is not counted")
	}
	r.end(syscall.SIGTERM)
	p.assertInLake(1, int(c.sent))
	for what, text := range map[string]string{"stdout": r.stdout.String(), "the log": r.stderr.String(), "the metrics": metrics, "the list": table} {
		for _, key := range []string{first, second, wrong} {
			if strings.Contains(text, key) || strings.Contains(text, key[12:]) {
				t.Errorf("%s has the key %s\n%s", what, key, text)
			}
		}
	}
}

// The file of keys is of no use to who reads it.
func TestKeysAreStoredAsHashes(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	key := strings.TrimSpace(p.run("keys", "create", "a").stdout)
	path := filepath.Join(p.folder, ".dbdata", "keys.json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(key) < 32 || strings.Contains(string(content), key[12:]) {
		t.Errorf("the file has the key %q:\n%s", key, content)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the mode of the file is %o", mode)
	}
}

// Containers are given keys in the environment.
func TestKeysOfTheEnvironment(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	const one, other = "a-key-of-somebody-1", "a-key-of-somebody-2"
	cmd := p.command(ingestArgs("--verbose")...)
	cmd.Env = append(cmd.Env, "SPANLAKE_API_KEYS="+one+", "+other)
	r := p.start(cmd).listening()
	c := r.caller()
	c.expectRefused("without a key")
	c.expectRefused("with another key", "authorization", "Bearer a-key-of-somebody-3")
	c.expectAccepted("with the first", "authorization", "Bearer "+one)
	c.expectAccepted("with the second", "x-junjo-api-key", other)
	r.end(syscall.SIGTERM)
	p.assertInLake(1, int(c.sent))
	if text := r.stdout.String() + r.stderr.String(); strings.Contains(text, "a-key-of-somebody") {
		t.Errorf("keys are printed\n%s", text)
	}
	short := p.command(ingestArgs()...)
	short.Env = append(short.Env, "SPANLAKE_API_KEYS=guessme")
	if got := p.finish(short); got.code != 2 || !strings.Contains(got.stderr, "SPANLAKE_API_KEYS") || strings.Contains(got.stderr, "guessme") {
		t.Errorf("a key that is too short: exit code %d, %q", got.code, got.stderr)
	}
}

// Nobody is open to the world by accident.
func TestListeningToEverybody(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	certificate, key := newAuthority(t).issue(t, p.folder, "server")
	tlsArgs := []string{"--tls-cert", certificate, "--tls-key", key}
	const env = "SPANLAKE_API_KEYS=a-key-of-somebody-1"
	for name, c := range map[string]struct {
		args  []string
		env   string
		names string // "" if it starts
	}{
		"nothing":       {names: "--insecure"},
		"keys only":     {env: env, names: "--tls-cert"},
		"TLS only":      {args: tlsArgs, names: "spanlake keys create"},
		"keys and TLS":  {args: tlsArgs, env: env},
		"said so":       {args: []string{"--insecure"}},
		"HTTP only":     {args: []string{"--otlp-grpc", "127.0.0.1:0", "--otlp-http", "0.0.0.0:0"}, names: "--insecure"},
		"all addresses": {args: []string{"--otlp-grpc", "[::]:0"}, names: "--insecure"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, "")
			cmd := p.command(ingestArgs(append([]string{"--otlp-grpc", "0.0.0.0:0"}, c.args...)...)...)
			if c.env != "" {
				cmd.Env = append(cmd.Env, c.env)
			}
			if c.names == "" {
				p.start(cmd).listening().end(syscall.SIGTERM)
				return
			}
			got := p.finish(cmd)
			if got.code != 2 || !strings.Contains(got.stderr, c.names) || !strings.Contains(got.stderr, "--insecure") {
				t.Errorf("exit code %d, %q, want 2 and a word on %s", got.code, got.stderr, c.names)
			}
			if _, err := os.Stat(p.wal()); err == nil {
				t.Error("a log was made all the same")
			}
		})
	}
}

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	der, key := a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.certificate, a.key = certificate, key
	a.pool.AddCert(certificate)
	return a
}

// sign makes a certificate, of the authority itself if it has none.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (der []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	if der, err = x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer); err != nil {
		t.Fatal(err)
	}
	return der, key
}

// issue writes a certificate for this machine, and its key.
func (a *authority) issue(t *testing.T, folder, name string) (certificate, key string) {
	t.Helper()
	der, private := a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, filepath.Join(folder, name+".crt"), "CERTIFICATE", der), writePEM(t, filepath.Join(folder, name+".key"), "PRIVATE KEY", secret)
}

func writePEM(t *testing.T, path, kind string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// secure is a caller over TLS.
func (r *running) secure(config *tls.Config) *caller {
	transport := &http.Transport{TLSClientConfig: config}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &caller{r: r, grpc: r.dial(grpc.WithTransportCredentials(credentials.NewTLS(config))), http: &http.Client{Transport: transport}, scheme: "https"}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	ours := newAuthority(t)
	certificate, key := ours.issue(t, p.folder, "server")
	r := p.ingest("--tls-cert", certificate, "--tls-key", key)
	c := r.secure(&tls.Config{RootCAs: ours.pool})
	c.expectAccepted("over TLS")
	if _, err := r.dial().Export(t.Context(), spansFrom("svc", 100, 1, 1)); err == nil {
		t.Error("gRPC without TLS is answered")
	}
	if got, err := r.post(t.Context(), strings.NewReader("")); err == nil && got.code == http.StatusOK {
		t.Error("HTTP without TLS is answered")
	}
	stranger := &tls.Config{RootCAs: newAuthority(t).pool}
	if _, err := r.secure(stranger).grpc.Export(t.Context(), spansFrom("svc", 100, 1, 1)); err == nil {
		t.Error("a client that does not know the authority trusts it")
	}
	r.end(syscall.SIGTERM)
	p.assertInLake(1, int(c.sent))
}

// Clients show certificates, where that is asked for.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "")
	ours, theirs := newAuthority(t), newAuthority(t)
	certificate, key := ours.issue(t, p.folder, "server")
	ca := writePEM(t, filepath.Join(p.folder, "ca.crt"), "CERTIFICATE", ours.certificate.Raw)
	r := p.ingest("--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", ca)
	config := func(from *authority, name string) *tls.Config {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(from.issue(t, p.folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Config{RootCAs: ours.pool, Certificates: []tls.Certificate{pair}}
	}
	c := r.secure(config(ours, "client"))
	c.expectAccepted("with a certificate")
	for what, wrong := range map[string]*tls.Config{"no certificate": {RootCAs: ours.pool}, "one of somebody else": config(theirs, "stranger")} {
		refused := r.secure(wrong)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := refused.grpc.Export(ctx, spansFrom("svc", 100, 1, 1)); err == nil {
			t.Errorf("%s: gRPC answers", what)
		}
		if _, err := r.postWith(ctx, refused.http, "https", strings.NewReader("")); err == nil {
			t.Errorf("%s: HTTP answers", what)
		}
	}
	r.end(syscall.SIGTERM)
	p.assertInLake(1, int(c.sent))
}
