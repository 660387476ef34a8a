package otlp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// victimVariable has the test binary run a server that a test in another process attacks.
	victimVariable = "SPANLAKE_TEST_VICTIM"
	// victimLimit is the memory limit of its Go runtime, as the program sets one.
	victimLimit = "256MiB"
	// victimPeak is how much memory it may take at most: what Go is allowed, and the program itself, with a generous margin.
	victimPeak = 450 << 20
)

// TestVictim is the server in the other process.
func TestVictim(t *testing.T) {
	if os.Getenv(victimVariable) == "" {
		t.Skip("is for TestMemoryUnderAttack")
	}
	r := start(t, func(o *Options) { o.ReadTimeout = 3 * time.Second })
	_, _ = fmt.Fprintf(os.Stdout, "%s %s\n", r.GRPCAddr(), r.HTTPAddr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Error(err)
	}
	_, _ = fmt.Fprintf(os.Stdout, "peak %d\n", peak(t))
}

// peak is the most memory that this process had, in bytes.
func peak(t *testing.T) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	number, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	kilobytes, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// victim is a server in another process.
type victim struct {
	grpc, http string
	// stop ends it and returns the most memory that it had.
	stop func() int64
}

func startVictim(t *testing.T) *victim {
	t.Helper()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("this system does not tell how much memory a process had")
	}
	child := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	child.Env = append(os.Environ(), victimVariable+"=1", "GOMEMLIMIT="+victimLimit)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	child.Stderr = &complaints
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{}
	v.grpc, v.http, _ = strings.Cut(strings.TrimSpace(line), " ")
	v.stop = sync.OnceValue(func() int64 {
		_ = in.Close() // a child that is gone fails below
		rest, err := io.ReadAll(lines)
		if err == nil {
			err = child.Wait()
		}
		if err != nil {
			t.Errorf("the server ended: %v: %s %s", err, rest, &complaints)
		}
		_, after, _ := strings.Cut(string(rest), "peak ")
		number, _, _ := strings.Cut(after, "\n")
		most, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Errorf("%v: %s", err, rest)
		}
		return most
	})
	t.Cleanup(func() { v.stop() })
	return v
}

// upload sends a body over HTTP and does not care what becomes of it.
func (v *victim) upload(ctx context.Context, body io.Reader, headers ...string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+v.http+tracesPath, struct{ io.Reader }{body})
	if err != nil {
		return
	}
	request.Header.Set("Content-Type", contentProtobuf)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if response, err := transport.RoundTrip(request); err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

// hold opens a connection, sends the begin of a request, and no more.
func (v *victim) hold(ctx context.Context, sent int) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", v.http)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", tracesPath, contentProtobuf, 60<<20)
	_, _ = conn.Write(make([]byte, sent))
	<-ctx.Done()
}

// call sends a message over gRPC.
func (v *victim) call(ctx context.Context, conn *grpc.ClientConn, message []byte, options ...grpc.CallOption) {
	var reply []byte
	_ = conn.Invoke(ctx, exportMethod, message, &reply, append(options, grpc.ForceCodecV2(bytesCodec{}), grpc.MaxCallSendMsgSize(1<<30))...)
}

// zeros are so many bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// bomb is so many bytes of a pattern in gzip, after a head.
func bomb(t *testing.T, head, pattern string, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte(pattern), (1<<20)/len(pattern))
	if _, err := zip.Write([]byte(head)); err != nil {
		t.Fatal(err)
	}
	for done := 0; done < n; done += len(block) {
		if _, err := zip.Write(block[:min(len(block), n-done)]); err != nil {
			t.Fatal(err)
		}
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// frame is a message of gRPC.
func frame(flag byte, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message))), message...)
}

// nested is the head of a message that holds another, and so on: the fields down to one that has so many bytes.
func nested(length int, fields ...int) string {
	var head []byte
	for _, field := range slices.Backward(fields) {
		size := binary.AppendUvarint(nil, uint64(length+len(head)))
		head = append(append([]byte{byte(field<<3 | 2)}, size...), head...)
	}
	return string(head)
}

// TestMemoryUnderAttack attacks a server in another process in many ways, and all the time an honest client sends its spans.
func TestMemoryUnderAttack(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector takes more memory than the program")
	}
	const large = 60 << 20
	const ids = "\x0a\x10AAAAAAAAAAAAAAAA\x12\x08BBBBBBBB"
	// One span each: with a name that grows as it is repaired, and with 30 million attributes of two bytes.
	name := "\x2a" + string(binary.AppendUvarint(nil, large))
	badString := bomb(t, nested(len(ids)+len(name)+large, 1, 2, 2)+ids+name, "a\xff", large)
	manyAttributes := bomb(t, nested(len(ids)+3+large, 1, 2, 2)+ids+"\x2a\x01\xff", "\x4a\x00", large)
	jsonBomb := bomb(t, `{"resourceSpans":[{"scopeSpans":[{"spans":[`, "{},", large/3*3)
	zeroBomb := bomb(t, "", "\x00", large)
	zstdBomb := packed(t, "zstd", make([]byte, large))

	packedFrame, begun, message := frame(1, zeroBomb), frame(0, make([]byte, large))[:1<<20:1<<20], make([]byte, 10<<20)

	for name, attack := range map[string]func(ctx context.Context, v *victim, conn *grpc.ClientConn){
		"uploads":                    func(ctx context.Context, v *victim, _ *grpc.ClientConn) { v.upload(ctx, zeros(large)) },
		"endless uploads":            func(ctx context.Context, v *victim, _ *grpc.ClientConn) { v.upload(ctx, zeroReader{}) },
		"uploads that stop at 1 MiB": func(ctx context.Context, v *victim, _ *grpc.ClientConn) { v.hold(ctx, 1<<20) },
		"gzip bombs": func(ctx context.Context, v *victim, _ *grpc.ClientConn) {
			v.upload(ctx, bytes.NewReader(zeroBomb), "Content-Encoding", "gzip")
		},
		"zstd bombs": func(ctx context.Context, v *victim, _ *grpc.ClientConn) {
			v.upload(ctx, bytes.NewReader(zstdBomb), "Content-Encoding", "zstd")
		},
		"JSON bombs": func(ctx context.Context, v *victim, _ *grpc.ClientConn) {
			v.upload(ctx, bytes.NewReader(jsonBomb), "Content-Encoding", "gzip", "Content-Type", contentJSON)
		},
		"millions of attributes": func(ctx context.Context, v *victim, _ *grpc.ClientConn) {
			v.upload(ctx, bytes.NewReader(manyAttributes), "Content-Encoding", "gzip")
		},
		"strings to repair": func(ctx context.Context, v *victim, _ *grpc.ClientConn) {
			v.upload(ctx, bytes.NewReader(badString), "Content-Encoding", "gzip")
		},
		"gRPC messages": func(ctx context.Context, v *victim, conn *grpc.ClientConn) { v.call(ctx, conn, message) },
		"gRPC gzip bombs": func(ctx context.Context, v *victim, _ *grpc.ClientConn) {
			_, _ = h2Call(ctx, v.grpc, "gzip", bytes.NewReader(packedFrame))
		},
		"gRPC messages that stop": func(ctx context.Context, v *victim, _ *grpc.ClientConn) {
			never, end := io.Pipe()
			defer func() { _ = end.Close() }()
			_, _ = h2Call(ctx, v.grpc, "", io.MultiReader(bytes.NewReader(begun), never))
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := startVictim(t)
			conn, err := grpc.NewClient(v.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			var attackers sync.WaitGroup
			var attacks atomic.Int64
			for range 100 {
				attackers.Go(func() {
					for ctx.Err() == nil {
						attack(ctx, v, conn)
						attacks.Add(1)
					}
				})
			}
			taken, refused := v.honest(ctx, t)
			attackers.Wait()
			most := v.stop()
			t.Logf("%d attacks; %d honest requests were taken, %d refused; peak %d MiB", attacks.Load(), taken, refused, most>>20)
			if most > victimPeak {
				t.Errorf("it took %d MiB, want %d at most", most>>20, victimPeak>>20)
			}
			if taken == 0 || refused > taken+2 {
				t.Errorf("an honest client was taken %d times and refused %d times", taken, refused)
			}
		})
	}
}

// honest sends small requests until ctx ends.
func (v *victim) honest(ctx context.Context, t *testing.T) (taken, refused int) {
	t.Helper()
	conn, err := grpc.NewClient(v.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	client := ptraceotlp.NewGRPCClient(conn)
	for ctx.Err() == nil || taken == 0 && refused < 10 {
		request, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := client.Export(request, spansOf(100))
		cancel()
		if err != nil {
			if _, ok := retryDelay(err); !ok {
				t.Errorf("refused for ever: %v", err)
			}
			refused++
		} else {
			taken++
		}
		time.Sleep(5 * time.Millisecond)
	}
	return taken, refused
}
