// SPDX-License-Identifier: Apache-2.0

package singleflight

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/singleflightd/singleflightd/client/go/internal/daemontest"
)

// TestMain is the set-up under which the tests of golang.org/x/sync/singleflight run unchanged: a
// daemon for each process, since those that these tests start are meant to know nothing of each
// other.
func TestMain(m *testing.M) {
	if os.Getenv("SINGLEFLIGHTD") == "" { // only asked which tests there are
		os.Exit(m.Run())
	}
	runtime.LockOSThread() // the daemon ends with the thread that started it
	daemon, err := daemontest.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client, err := NewClient(ClientOptions{Addresses: []string{daemon.Address}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	SetDefault(client)
	code := m.Run()
	client.Close()
	daemon.Kill()
	os.Exit(code)
}
