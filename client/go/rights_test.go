// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
	"github.com/singleflightd/singleflightd/client/go/internal/daemontest"
)

const rights = `[who]
app = token:app
alice = uri:spiffe://prod.example/ns/app/sa/alice
[group open]
do = app alice
lead = app alice
[group follow]
do = app alice
`

// secureDaemon is a real one that speaks TLS, and knows the certificates of the CA and the token
// "s3cret".
type secureDaemon struct {
	*daemontest.Daemon
	folder string
}

func startSecureDaemon(t *testing.T, arguments ...string) *secureDaemon {
	t.Helper()
	d := &secureDaemon{folder: certificates(t)}
	writeFile(t, d.path("token"), "s3cret\n")
	d.knows(t, "s3cret")
	writeFile(t, d.path("access"), rights)
	for i, argument := range arguments {
		if argument == "access" {
			arguments[i] = d.path(argument)
		}
	}
	d.Daemon = daemontest.Start(t, append([]string{
		"--tls-cert", d.path("server.pem"), "--tls-key", d.path("server.key"),
		"--tls-client-ca", d.path("ca.pem"), "--token-file", d.path("tokens"),
	}, arguments...)...)
	return d
}

func (d *secureDaemon) path(name string) string { return filepath.Join(d.folder, name) }

// knows makes this the only token that the daemon knows.
func (d *secureDaemon) knows(t *testing.T, token string) {
	t.Helper()
	writeFile(t, d.path("tokens"), fmt.Sprintf("app %x\n", sha256.Sum256([]byte(token))))
}

func (d *secureDaemon) options() singleflight.ClientOptions {
	return singleflight.ClientOptions{
		Addresses: []string{d.Address}, TLSCA: d.path("ca.pem"), FailOpen: true,
	}
}

func (d *secureDaemon) withAlice() singleflight.ClientOptions {
	options := d.options()
	options.TLSCert, options.TLSKey = d.path("alice.pem"), d.path("alice.key")
	return options
}

func (d *secureDaemon) withToken() singleflight.ClientOptions {
	options := d.options()
	options.TokenFile = d.path("token")
	return options
}

// lead fails unless the call leads, with a token of the daemon.
func lead(t *testing.T, client *singleflight.Client, group string) error {
	t.Helper()
	result, err := singleflight.Do(patient(t), client, "k", func(ctx context.Context) (int, error) {
		return 1, nil
	}, singleflight.WithGroup(group))
	if err == nil && (!result.Led || result.FailedOpen) {
		t.Errorf("%+v", result)
	}
	return err
}

func TestACertificateAndATokenAreWhoAsks(t *testing.T) {
	daemon := startSecureDaemon(t, "--tls-client-auth", "optional", "--access-file", "access")
	for name, options := range map[string]singleflight.ClientOptions{
		"certificate": daemon.withAlice(), "token": daemon.withToken(),
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, options)
			for _, want := range []struct {
				group string
				err   error
			}{
				{"open", nil},
				{"other", singleflight.ErrPermissionDenied},
				{"follow", singleflight.ErrNotFound},
				{"open", nil}, // what is refused takes nothing from the rest
			} {
				if err := lead(t, client, want.group); !errors.Is(err, want.err) {
					t.Errorf("%s: %v", want.group, err)
				}
			}
			_, err := client.Forget(patient(t), "open", "k", false)
			if !errors.Is(err, singleflight.ErrPermissionDenied) {
				t.Error(err)
			}
		})
	}
}

func TestWhoIsNotKnownNeverFailsOpen(t *testing.T) {
	daemon := startSecureDaemon(t, "--tls-client-auth", "optional")
	guessed := daemon.options()
	guessed.TokenFile = writeFile(t, daemon.path("guessed"), "guessed")
	for name, options := range map[string]singleflight.ClientOptions{
		"nobody": daemon.options(), "a wrong token": guessed,
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, options)
			for range 3 {
				if err := lead(t, client, "g"); !errors.Is(err, singleflight.ErrUnauthenticated) {
					t.Error(err)
				}
			}
		})
	}
}

func TestADaemonThatAsksForACertificateIsNotReachedWithoutOne(t *testing.T) {
	daemon := startSecureDaemon(t)
	options := daemon.options()
	options.FailOpen, options.ConnectTimeout = false, 500*time.Millisecond
	if err := lead(t, newClient(t, options), "g"); !errors.Is(err, singleflight.ErrUnavailable) {
		t.Error(err)
	}
	if err := lead(t, newClient(t, daemon.withAlice()), "g"); err != nil {
		t.Error(err)
	}
}

func TestATokenThatIsTakenOutIsRefusedAndAnotherOneGoesOn(t *testing.T) {
	daemon := startSecureDaemon(t, "--tls-client-auth", "optional")
	client := newClient(t, daemon.withToken())
	if err := lead(t, client, "g"); err != nil {
		t.Fatal(err)
	}
	daemon.knows(t, "other")
	eventually(t, "a refusal", func() bool {
		return errors.Is(lead(t, client, "g"), singleflight.ErrUnauthenticated)
	})
	writeFile(t, daemon.path("token"), "other")
	eventually(t, "the other token", func() bool { return lead(t, client, "g") == nil })
}
