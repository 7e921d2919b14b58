// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

const (
	addressVariable = "SINGLEFLIGHT_ADDRESS"
	addressDefault  = "127.0.0.1:7433"
	callerBytesMax  = 128
	serversMax      = 64

	// No server of ours sends a larger message.
	messageBytesMax = 4*1024*1024 + 64*1024

	connectTimeout   = 30 * time.Second // longer than a server is away that is restarted
	answerTimeout    = 5 * time.Second
	backoffMin       = 50 * time.Millisecond
	backoffMax       = 2 * time.Second
	keepaliveTime    = 20 * time.Second
	keepaliveTimeout = 5 * time.Second
	resultBytesMax   = 64 * 1024 * 1024
)

// ClientOptions are the options of a client. The zero value means the defaults.
type ClientOptions struct {
	// Addresses of the servers: "host:port" or "unix:/path". Empty: the environment variable
	// SINGLEFLIGHT_ADDRESS, comma separated; without that, 127.0.0.1:7433.
	//
	// With several addresses each key has one home among them by rendezvous hashing, in the same
	// way in every language; so all programs must write the addresses in the same way. A server
	// that refuses the connection, drains, or does not answer for 5 s (ConnectTimeout, if that is
	// shorter) is passed over until it answers a health check.
	Addresses []string

	// Caller is the name in listings, at most 128 bytes. "": <program>@<host>:<process id>.
	Caller string

	// FailOpen: when no server can be reached, run the function here, alone, and say so in the
	// result. Otherwise such calls end with UNAVAILABLE. When every address refuses the connection,
	// or cannot be found, that happens at once. While a server drains it does not happen. A leader
	// that loses the server goes on to its end, for its own callers.
	FailOpen bool

	// ConnectTimeout is how long a call looks for a server that takes it, at first or after the
	// connection broke, before it ends with UNAVAILABLE: longer than a server is away that is
	// restarted. With FailOpen it is no longer than it takes to know that none is there. 0, as in
	// every field that is not given: 30 s. DoNotWait: a call takes what is connected, or gives up;
	// the connection is made for later calls.
	ConnectTimeout time.Duration

	// The wait between two tries to connect is random, between 0 and a bound that doubles from
	// BackoffMin to BackoffMax. 0: 50 ms and 2 s.
	BackoffMin, BackoffMax time.Duration

	// A ping goes out after so much silence (gRPC takes at least 10 s), and the connection is given
	// up when nothing answers it in the second time. 0: 20 s and 5 s.
	KeepaliveTime, KeepaliveTimeout time.Duration

	// ResultLimit is the largest value in bytes that this process makes or takes. 0: 64 MiB.
	ResultLimit int

	// TLSCA is the path of the CA certificates (PEM) that the servers' are verified with; "system":
	// those of the system. It turns TLS on, for all addresses but "unix:" ones. "", as in the other
	// paths: the environment variable SINGLEFLIGHT_TLS_CA; without that, plain text.
	TLSCA string

	// TLSCert and TLSKey are the paths of the client's own certificate and key (PEM), for servers that
	// ask for one. Variables SINGLEFLIGHT_TLS_CERT and SINGLEFLIGHT_TLS_KEY. All files are read again
	// for each new connection; while they cannot be used, what they held before counts.
	TLSCert, TLSKey string

	// TLSServerName is the name to verify instead of the address's. Variable
	// SINGLEFLIGHT_TLS_SERVER_NAME.
	TLSServerName string

	// TokenFile is the path of a file that holds a token, which says who this client is. It is looked
	// at again when something is asked, once a second at most; calls after a change use the new one. A
	// TCP address that is not the loopback needs TLS for it. Variable SINGLEFLIGHT_TOKEN_FILE.
	TokenFile string

	// Credentials secure the connection instead of the TLS options, for every address. nil: those.
	Credentials credentials.TransportCredentials

	// Observer is told what happens to the calls. nil: nobody is.
	Observer Observer

	// Logger gets the same at debug level, and as an error what the observer panics with. nil:
	// slog.Default().
	Logger *slog.Logger

	// Traceparent returns the W3C trace context of a call, for the server's traces; "": it has none.
	// nil: that of Observer, if it is a [Tracer].
	Traceparent func(ctx context.Context) string

	// DialOptions come after those of this package, such as grpc.WithPerRPCCredentials.
	DialOptions []grpc.DialOption
}

// DoNotWait is a ConnectTimeout of next to nothing, for ClientOptions, where 0 means 30 s.
const DoNotWait = time.Nanosecond

type settings struct {
	addresses      []string
	caller         string
	failOpen       bool
	connectTimeout time.Duration // 0: do not wait
	answerTimeout  time.Duration // how long a server may be silent; never 0
	backoffMin     time.Duration
	backoffMax     time.Duration
	resultLimit    int
	security       security
	observer       Observer
	logger         *slog.Logger
	traceparent    func(context.Context) string
	dialOptions    []grpc.DialOption // without those of security
}

func readSettings(given ClientOptions) (settings, error) {
	s := settings{
		failOpen:       given.FailOpen,
		connectTimeout: orDefault(given.ConnectTimeout, connectTimeout),
		answerTimeout:  min(orDefault(given.ConnectTimeout, answerTimeout), answerTimeout),
		backoffMin:     orDefault(given.BackoffMin, backoffMin),
		backoffMax:     orDefault(given.BackoffMax, backoffMax),
		resultLimit:    orDefault(given.ResultLimit, resultBytesMax),
		observer:       given.Observer,
		logger:         given.Logger,
		traceparent:    given.Traceparent,
	}
	if given.ConnectTimeout == DoNotWait {
		s.connectTimeout, s.answerTimeout = 0, answerTimeout
	}
	if err := given.problem(); err != nil {
		return s, err
	}
	s.backoffMax = max(s.backoffMin, s.backoffMax)
	var err error
	if s.addresses, err = readAddresses(given.Addresses); err != nil {
		return s, err
	}
	if s.caller, err = readCaller(given.Caller); err != nil {
		return s, err
	}
	if s.security, err = readSecurity(&given, s.addresses); err != nil {
		return s, err
	}
	s.dialOptions = append([]grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytesMax)),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // the client tries again by itself
		grpc.WithConnectParams(grpc.ConnectParams{ // for Forget, whose connection stays
			Backoff: grpcbackoff.Config{
				BaseDelay:  s.backoffMin,
				Multiplier: 2,
				Jitter:     0.5,
				MaxDelay:   s.backoffMax,
			},
			MinConnectTimeout: s.answerTimeout,
		}),
		grpc.WithUserAgent("singleflight-go/" + Version),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:    orDefault(given.KeepaliveTime, keepaliveTime),
			Timeout: orDefault(given.KeepaliveTimeout, keepaliveTimeout),
		}),
	}, given.DialOptions...)
	return s, nil
}

// dial makes a connection, which connects when it is used.
func (s *settings) dial(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(targetOf(address),
		append(s.security.dialOptions(address), s.dialOptions...)...)
}

// problem is a number that cannot be.
func (given *ClientOptions) problem() error {
	for _, option := range []struct {
		name  string
		value int64
	}{
		{"ConnectTimeout", int64(given.ConnectTimeout)},
		{"BackoffMin", int64(given.BackoffMin)},
		{"BackoffMax", int64(given.BackoffMax)},
		{"KeepaliveTime", int64(given.KeepaliveTime)},
		{"KeepaliveTimeout", int64(given.KeepaliveTimeout)},
		{"ResultLimit", int64(given.ResultLimit)},
	} {
		if option.value < 0 {
			return statusErrorf(codes.InvalidArgument, "ClientOptions.%s is negative", option.name)
		}
	}
	return nil
}

func readAddresses(given []string) ([]string, error) {
	where := "ClientOptions.Addresses"
	if len(given) == 0 {
		where = addressVariable
		text := os.Getenv(addressVariable)
		if text == "" {
			text = addressDefault
		}
		given = strings.Split(text, ",")
	}
	if len(given) > serversMax {
		return nil, statusErrorf(codes.InvalidArgument, "%s: there are more than %d addresses",
			where, serversMax)
	}
	addresses := make([]string, len(given))
	for i, address := range given {
		addresses[i] = strings.Trim(address, " \t")
		if problem := problemOfAddress(addresses[i]); problem != "" {
			return nil, statusErrorf(codes.InvalidArgument,
				"%s: the address %q %s; \"host:port\" or \"unix:/path\" is wanted", where, address, problem)
		}
	}
	return addresses, nil
}

func readCaller(given string) (string, error) {
	if given != "" {
		if len(given) > callerBytesMax || !utf8.ValidString(given) {
			return "", statusErrorf(codes.InvalidArgument,
				"ClientOptions.Caller is not at most 128 bytes of UTF-8")
		}
		return given, nil
	}
	host, _ := os.Hostname() // without a name the place before the colon stays empty
	program := filepath.Base(os.Args[0])
	caller := fmt.Sprintf("%.40s@%.60s:%d", program, host, os.Getpid())
	if len(caller) > callerBytesMax || !utf8.ValidString(caller) {
		return fmt.Sprintf("process %d", os.Getpid()), nil
	}
	return caller, nil
}

func orDefault[N int | time.Duration](given, otherwise N) N {
	if given == 0 {
		return otherwise
	}
	return given
}
