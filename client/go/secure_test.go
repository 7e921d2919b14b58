// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/singleflightd/singleflightd/client/go"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// certificates is a folder with those of tests/support/certificates.
func certificates(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	certify(t, folder)
	return folder
}

func certify(t *testing.T, arguments ...string) {
	t.Helper()
	out, err := exec.Command("../../tests/support/certificates", arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// visitor is who has opened a stream: the common name of the certificate, and the token.
type visitor struct{ name, authorization string }

// secureServer takes callers with a certificate of the CA, and notes who came last. Each join is
// followed and has the result "v", after which its stream ends when `leaves` is set.
type secureServer struct {
	folder, address string
	last            atomic.Pointer[visitor]
	leaves          atomic.Bool
}

func startSecure(t *testing.T) *secureServer {
	t.Helper()
	s := &secureServer{folder: certificates(t)}
	pair, err := tls.LoadX509KeyPair(s.path("server.pem"), s.path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(readFile(t, s.path("ca.pem"))))
	fake := &fakeServer{admit: s.admit}
	fake.answer = func(int, *pb.CallRequest) ([]*pb.CallResponse, error) {
		frames := []*pb.CallResponse{follow(), result("v", 1)}
		if s.leaves.Load() {
			return frames, status.Error(codes.Unavailable, "leaves")
		}
		return frames, nil
	}
	s.address = fake.listen(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	})))
	return s
}

func (s *secureServer) path(name string) string { return filepath.Join(s.folder, name) }

func (s *secureServer) admit(ctx context.Context) error {
	from, _ := peer.FromContext(ctx)
	info := from.AuthInfo.(credentials.TLSInfo)
	visitor := &visitor{name: info.State.PeerCertificates[0].Subject.CommonName}
	if md, _ := metadata.FromIncomingContext(ctx); len(md["authorization"]) > 0 {
		visitor.authorization = md["authorization"][0]
	}
	s.last.Store(visitor)
	return nil
}

// options are those of alice.
func (s *secureServer) options() singleflight.ClientOptions {
	return singleflight.ClientOptions{
		Addresses:      []string{s.address},
		TLSCA:          s.path("ca.pem"),
		TLSCert:        s.path("alice.pem"),
		TLSKey:         s.path("alice.key"),
		ConnectTimeout: patience,
		BackoffMax:     50 * time.Millisecond,
	}
}

// visit makes a call, and returns who the server has seen.
func (s *secureServer) visit(t *testing.T, client *singleflight.Client) visitor {
	t.Helper()
	if got, err := doRaw(t, client); err != nil || string(got.Value) != "v" {
		t.Fatalf("%+v, %v", got, err)
	}
	return *s.last.Load()
}

func TestBothSidesShowTheirCertificates(t *testing.T) {
	server := startSecure(t)
	options := server.options()
	options.TokenFile = writeFile(t, server.path("token"), "  s3cret\n")
	if got := server.visit(t, newClient(t, options)); got != (visitor{"alice", "Bearer s3cret"}) {
		t.Errorf("%+v", got)
	}
}

func TestTheEnvironmentSecuresTheConnectionAndOptionsWin(t *testing.T) {
	server := startSecure(t)
	for name, value := range map[string]string{
		"TLS_CA": server.path("ca.pem"), "TLS_CERT": server.path("bob.pem"),
		"TLS_KEY": server.path("bob.key"), "TLS_SERVER_NAME": "localhost",
		"TOKEN_FILE": writeFile(t, server.path("token"), "of-the-environment"),
	} {
		t.Setenv("SINGLEFLIGHT_"+name, value)
	}
	ofEnvironment := singleflight.ClientOptions{Addresses: []string{server.address}}
	want := visitor{"bob", "Bearer of-the-environment"}
	if got := server.visit(t, newClient(t, ofEnvironment)); got != want {
		t.Errorf("%+v", got)
	}
	if got := server.visit(t, newClient(t, server.options())); got.name != "alice" {
		t.Errorf("%+v", got)
	}
}

func TestAnotherCertificateIsShownByTheNextConnection(t *testing.T) {
	server := startSecure(t)
	server.leaves.Store(true)
	client := newClient(t, server.options())
	if got := server.visit(t, client); got.name != "alice" {
		t.Errorf("%+v", got)
	}
	writeFile(t, server.path("alice.pem"), "no certificate")
	if got := server.visit(t, client); got.name != "alice" {
		t.Errorf("with a broken file: %+v", got)
	}
	writeFile(t, server.path("alice.key"), readFile(t, server.path("bob.key")))
	writeFile(t, server.path("alice.pem"), readFile(t, server.path("bob.pem")))
	if got := server.visit(t, client); got.name != "bob" {
		t.Errorf("%+v", got)
	}
}

func TestAnotherTokenIsUsedByTheCallsAfterIt(t *testing.T) {
	server := startSecure(t)
	options := server.options()
	options.TokenFile = writeFile(t, server.path("token"), "old")
	client := newClient(t, options)
	server.visit(t, client)
	writeFile(t, options.TokenFile, "new")
	eventually(t, "the new token", func() bool {
		return server.visit(t, client).authorization == "Bearer new"
	})
	if err := os.Remove(options.TokenFile); err != nil {
		t.Fatal(err)
	}
	server.leaves.Store(true)
	again := time.Now().Add(1100 * time.Millisecond) // the file has been looked at by then
	eventually(t, "a look", func() bool {
		if got := server.visit(t, client); got.authorization != "Bearer new" {
			t.Errorf("with a file that is gone: %+v", got)
		}
		return time.Now().After(again)
	})
}

func TestANameMayBeVerifiedInsteadOfTheAddress(t *testing.T) {
	server := startSecure(t)
	options := server.options()
	options.TLSServerName = "other.example"
	options.ConnectTimeout = 200 * time.Millisecond
	if _, err := doRaw(t, newClient(t, options)); !errors.Is(err, singleflight.ErrUnavailable) ||
		!strings.Contains(err.Error(), "other.example") {
		t.Errorf("%v", err)
	}
	options.TLSServerName = "localhost"
	server.visit(t, newClient(t, options))
}

func TestWhatCannotSecureAConnectionIsRefusedAtOnce(t *testing.T) {
	folder := certificates(t)
	path := func(name string) string { return filepath.Join(folder, name) }
	empty := writeFile(t, path("empty"), " \n")
	words := writeFile(t, path("words"), "two words\n")
	token := writeFile(t, path("token"), "s3cret\n")
	ca, remote := path("ca.pem"), []string{"127.0.0.1:7433", "db.example:7433"}
	for want, options := range map[string]singleflight.ClientOptions{
		"TLSCA (SINGLEFLIGHT_TLS_CA) is missing": {TLSCert: path("alice.pem"), TLSKey: path("alice.key")},
		"it says whom to trust":                  {TLSServerName: "localhost"},
		"need each other":                        {TLSCA: ca, TLSCert: path("alice.pem")},
		"TLSKey (SINGLEFLIGHT_TLS_KEY)":          {TLSCA: ca, TLSKey: path("alice.key")},
		"TLSCA: open " + path("gone"):            {TLSCA: path("gone")},
		"holds no certificate":                   {TLSCA: empty},
		"does not match":                         {TLSCA: ca, TLSCert: path("alice.pem"), TLSKey: path("bob.key")},
		"TokenFile: stat":                        {TokenFile: path("gone")},
		"is empty":                               {TokenFile: empty},
		"does not hold one token":                {TokenFile: words},
		"in plain text to db.example:7433":       {TokenFile: token, Addresses: remote},
		"would travel":                           {TokenFile: token, Addresses: remote, Credentials: insecure.NewCredentials()},
	} {
		_, err := singleflight.NewClient(options)
		if !errors.Is(err, singleflight.ErrInvalidArgument) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is wanted: %v", want, err)
		}
	}
	for _, options := range []singleflight.ClientOptions{
		{TokenFile: token, Addresses: remote, TLSCA: "system"},
		{TokenFile: token, Addresses: []string{"[::1]:1", "127.9.9.9:1", "LocalHost:1", "unix:/s"}},
		{TLSCA: path("gone"), Credentials: insecure.NewCredentials()},
	} {
		newClient(t, options)
	}
}

func TestAUnixSocketIsPlain(t *testing.T) {
	folder := certificates(t)
	fake := &fakeServer{}
	fake.answer = func(int, *pb.CallRequest) ([]*pb.CallResponse, error) {
		return []*pb.CallResponse{follow(), result("v", 1)}, nil
	}
	path := fake.listenOn(t, "unix", filepath.Join(folder, "socket"))
	client := newClient(t, singleflight.ClientOptions{
		Addresses: []string{"unix:" + path},
		TLSCA:     filepath.Join(folder, "ca.pem"),
	})
	if _, err := doRaw(t, client); err != nil {
		t.Error(err)
	}
}

func TestWhoIsNotWelcomeNeverFailsOpen(t *testing.T) {
	const bound = 500 * time.Millisecond // after which a server without an answer is given up
	for name, fake := range map[string]*fakeServer{
		"streams": {admit: func(context.Context) error {
			return status.Error(codes.Unauthenticated, "a token is needed")
		}},
		"calls": {answer: func(int, *pb.CallRequest) ([]*pb.CallResponse, error) {
			return []*pb.CallResponse{end(codes.Unauthenticated, "a token is needed")}, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, singleflight.ClientOptions{
				Addresses: []string{fake.listen(t)}, FailOpen: true, ConnectTimeout: bound,
			})
			for until := time.Now().Add(2 * bound); time.Now().Before(until); {
				_, err := singleflight.Do(patient(t), client, "k", never[int](t),
					singleflight.WithConnectTimeout(patience))
				if !errors.Is(err, singleflight.ErrUnauthenticated) {
					t.Fatal(err)
				}
			}
		})
	}
}
