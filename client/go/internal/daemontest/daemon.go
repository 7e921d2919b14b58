// SPDX-License-Identifier: Apache-2.0

// Package daemontest runs real daemons for the tests.
package daemontest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Daemon is one singleflightd on a port of the loopback.
type Daemon struct {
	Address string

	process *exec.Cmd
	ended   chan struct{}
	waitErr error
}

// Path returns the daemon's program: that of SINGLEFLIGHTD, or that of the default build folder.
func Path() string {
	if path := os.Getenv("SINGLEFLIGHTD"); path != "" {
		return path
	}
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "../../../../build/bin/singleflightd")
}

// Run starts a daemon and waits until it listens.
func Run(arguments ...string) (*Daemon, error) {
	d := &Daemon{ended: make(chan struct{})}
	d.process = exec.Command(Path(), append([]string{"--listen", "127.0.0.1:0"}, arguments...)...)
	// A test that crashes takes it along.
	d.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := d.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.process.Start(); err != nil {
		return nil, fmt.Errorf("%w: SINGLEFLIGHTD is to be the path of singleflightd", err)
	}
	lines := bufio.NewScanner(out)
	for d.Address == "" && lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), " listening on "); ok {
			d.Address = address
		}
	}
	go func() {
		for lines.Scan() { // so that it never waits for a reader
		}
		d.waitErr = d.process.Wait()
		close(d.ended)
	}()
	if d.Address == "" {
		<-d.ended
		return nil, fmt.Errorf("the daemon does not listen: %v", d.waitErr)
	}
	return d, nil
}

// Start is Run for a test, at whose end the daemon is killed.
func Start(t testing.TB, arguments ...string) *Daemon {
	t.Helper()
	d, err := Run(arguments...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	return d
}

// Kill ends the daemon by SIGKILL. Killing again does nothing.
func (d *Daemon) Kill() {
	_ = d.process.Process.Kill() // fails only when it has ended
	<-d.ended
}

// Terminate asks the daemon to drain and end.
func (d *Daemon) Terminate(t testing.TB) {
	t.Helper()
	if err := d.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// WaitForExit waits until the daemon has ended, and fails if not with 0.
func (d *Daemon) WaitForExit(t testing.TB) {
	t.Helper()
	select {
	case <-d.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the daemon does not end")
	}
	var exit *exec.ExitError
	if d.waitErr != nil && !errors.As(d.waitErr, &exit) {
		t.Fatal(d.waitErr)
	}
	if code := d.process.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("the daemon ended with %d", code)
	}
}
