// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/singleflightd/singleflightd/client/go"
	pb "github.com/singleflightd/singleflightd/client/go/singleflightpb"
)

// Misuse is refused before the network, with a text that names the option.

func TestOptionsThatCannotBeAreRefusedBeforeTheNetwork(t *testing.T) {
	fake := &fakeServer{answer: func(int, *pb.CallRequest) ([]*pb.CallResponse, error) {
		return []*pb.CallResponse{end(codes.InvalidArgument, "the network was asked")}, nil
	}}
	client := serveFake(t, fake)
	for name, option := range map[string]singleflight.Option{
		"WithRetain":         singleflight.WithRetain(-1),
		"WithRetainError":    singleflight.WithRetainError(-time.Second),
		"WithMaxAge":         singleflight.WithMaxAge(-time.Second),
		"WithLease":          singleflight.WithLease(-time.Second),
		"WithLease ":         singleflight.WithLease(5 * time.Millisecond),
		"WithRunLimit":       singleflight.WithRunLimit(-time.Second),
		"WithConnectTimeout": singleflight.WithConnectTimeout(-time.Second),
		"WithFingerprint":    singleflight.WithFingerprint(make([]byte, 65)),
		"WithCaller":         singleflight.WithCaller(strings.Repeat("c", 129)),
		"WithCaller ":        singleflight.WithCaller("\xff"),
		"WithGroup":          singleflight.WithGroup("no/slash"),
		"WithGroup ":         singleflight.WithGroup(strings.Repeat("g", 129)),
		"WithRole":           singleflight.WithRole(77),
		"WithLeaderLoss":     singleflight.WithLeaderLoss(77),
	} {
		_, err := singleflight.Do(patient(t), client, "k", makes("v"), option)
		if !errors.Is(err, singleflight.ErrInvalidArgument) ||
			!strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var none func(context.Context) (string, error)
	if _, err := singleflight.Do(patient(t), client, "k", none); !errors.Is(
		err, singleflight.ErrInvalidArgument) || !strings.Contains(err.Error(), "function") {
		t.Errorf("no function: %v", err)
	}
	if _, err := client.Do(patient(t), "k", nil); !errors.Is(err, singleflight.ErrInvalidArgument) {
		t.Errorf("no function: %v", err)
	}
	if joins := fake.joins.Load(); joins != 0 {
		t.Errorf("%d joins reached the server", joins)
	}
}

func TestClientOptionsThatCannotBeAreRefused(t *testing.T) {
	for name, options := range map[string]singleflight.ClientOptions{
		"Caller":           {Caller: strings.Repeat("c", 129)},
		"ConnectTimeout":   {ConnectTimeout: -1},
		"BackoffMin":       {BackoffMin: -1},
		"BackoffMax":       {BackoffMax: -1},
		"KeepaliveTime":    {KeepaliveTime: -1},
		"KeepaliveTimeout": {KeepaliveTimeout: -1},
		"ResultLimit":      {ResultLimit: -1},
	} {
		if _, err := singleflight.NewClient(options); !errors.Is(
			err, singleflight.ErrInvalidArgument) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAddressesThatAreNoneAreRefused(t *testing.T) {
	for _, address := range []string{
		"", " ", "localhost", "127.0.0.1", "localhost:", ":7433", "localhost:0", "localhost:65536",
		"localhost:99999", "localhost:http", "localhost:+1", "localhost:-1", "http://localhost:7433",
		"https://localhost:7433", "dns:///localhost:7433", "grpc://localhost:7433", "unix:",
		"unix://no\x00pe:%%", "a:1,b:2", "local host:7433", "::1:7433", "::1", "[::1]", "localhost:1:2",
		"localhost:7433/path", "user@localhost:7433",
	} {
		client, err := singleflight.NewClient(singleflight.ClientOptions{
			Addresses: []string{"127.0.0.1:7433", address},
		})
		if err == nil {
			client.Close()
		}
		if !errors.Is(err, singleflight.ErrInvalidArgument) ||
			!strings.Contains(err.Error(), "address") {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, address := range []string{
		"localhost:1", "127.0.0.1:65535", "[::1]:7433", "a-b.example.com:7433", "dns:7433",
		"unix:/run/singleflightd.sock", "unix:///run/singleflightd.sock", " spaced:7433 ",
	} {
		newClient(t, singleflight.ClientOptions{Addresses: []string{address}})
	}
}

func TestAVariableWithABadAddressIsRefused(t *testing.T) {
	t.Setenv("SINGLEFLIGHT_ADDRESS", "localhost")
	if _, err := singleflight.NewClient(singleflight.ClientOptions{}); !errors.Is(
		err, singleflight.ErrInvalidArgument) || !strings.Contains(err.Error(), "SINGLEFLIGHT_ADDRESS") {
		t.Errorf("%v", err)
	}
}

func TestATimeoutOfZeroEndsTheCallAtOnce(t *testing.T) {
	fake := &fakeServer{answer: func(int, *pb.CallRequest) ([]*pb.CallResponse, error) {
		return nil, nil
	}}
	client := serveFake(t, fake)
	for _, timeout := range []time.Duration{0, -time.Second} {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		_, err := singleflight.Do(ctx, client, "k", never[string](t))
		if !errors.Is(err, singleflight.ErrDeadlineExceeded) {
			t.Errorf("Do with %v: %v", timeout, err)
		}
		if _, err := client.Start(ctx, "k", write("v")).Result(); !errors.Is(
			err, singleflight.ErrDeadlineExceeded) {
			t.Errorf("Start with %v: %v", timeout, err)
		}
		if _, err := client.Forget(ctx, "", "k", false); !errors.Is(
			err, singleflight.ErrDeadlineExceeded) {
			t.Errorf("Forget with %v: %v", timeout, err)
		}
	}
}
