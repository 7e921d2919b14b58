// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
	"github.com/singleflightd/singleflightd/client/go/internal/daemontest"
)

// workerEnv makes a worker of this program: it asks for one key through a zero Group, and writes
// what happens, one line each.
const workerEnv = "SINGLEFLIGHT_TEST_WORKER"

type workerNews struct {
	Leads  bool // the function has begun
	PID    int
	Value  float64 // the process that made it
	Shared bool
	Err    string
}

func TestWorkerProcess(*testing.T) {
	if os.Getenv(workerEnv) == "" {
		return
	}
	tell := json.NewEncoder(os.Stdout)
	var group singleflight.Group
	value, err, shared := group.Do("k", func() (any, error) {
		_ = tell.Encode(workerNews{Leads: true, PID: os.Getpid()})
		_, err := bufio.NewReader(os.Stdin).ReadByte() // until it is told to end
		return os.Getpid(), err
	})
	news := workerNews{PID: os.Getpid(), Shared: shared}
	switch value := value.(type) {
	case int: // made here
		news.Value = float64(value)
	case float64: // through JSON
		news.Value = value
	}
	if err != nil {
		news.Err = err.Error()
	}
	_ = tell.Encode(news)
	os.Exit(0)
}

type worker struct {
	process *exec.Cmd
	stdin   io.WriteCloser
	news    <-chan workerNews
}

func startWorker(t *testing.T, daemon *daemontest.Daemon, news chan workerNews) *worker {
	t.Helper()
	w := &worker{process: exec.Command(os.Args[0], "-test.run=^TestWorkerProcess$"), news: news}
	w.process.Env = append(os.Environ(), workerEnv+"=1", "SINGLEFLIGHT_ADDRESS="+daemon.Address)
	w.process.Stderr = os.Stderr
	stdin, err := w.process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.stdin = stdin
	stdout, err := w.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.process.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := json.NewDecoder(stdout); ; {
			var line workerNews
			if lines.Decode(&line) != nil {
				return
			}
			news <- line
		}
	}()
	t.Cleanup(func() {
		_ = w.process.Process.Kill() // it may have ended
		<-done
		_ = w.process.Wait()
	})
	return w
}

func TestFortyProcessesRunOneFunction(t *testing.T) {
	daemon := daemontest.Start(t)
	news := make(chan workerNews, 100)
	const count = 40
	workers := map[int]*worker{}
	for range count {
		w := startWorker(t, daemon, news)
		workers[w.process.Process.Pid] = w
	}
	leader := wait(t, "the lead", news)
	waitForCallers(t, daemon, "k", count)
	fmt.Fprintln(workers[leader.PID].stdin)
	for range count {
		got := wait(t, "an outcome", news)
		if got.Leads || got.Err != "" || !got.Shared || int(got.Value) != leader.PID {
			t.Errorf("process %d leads; another says %+v", leader.PID, got)
		}
	}
}

func TestALeaderThatIsKilledIsReplaced(t *testing.T) {
	daemon := daemontest.Start(t)
	news := make(chan workerNews, 100)
	workers := map[int]*worker{}
	for range 5 {
		w := startWorker(t, daemon, news)
		workers[w.process.Process.Pid] = w
	}
	first := wait(t, "the lead", news)
	waitForCallers(t, daemon, "k", 5)
	if err := workers[first.PID].process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	second := wait(t, "the next lead", news)
	if !second.Leads || second.PID == first.PID {
		t.Fatalf("after %+v: %+v", first, second)
	}
	if attempt := flightOf(t, daemon, "k").GetAttempt(); attempt != 2 {
		t.Errorf("attempt %d", attempt)
	}
	fmt.Fprintln(workers[second.PID].stdin)
	for range 4 {
		if got := wait(t, "an outcome", news); got.Leads || int(got.Value) != second.PID {
			t.Errorf("%+v", got)
		}
	}
}

func TestTheDefaultClientIsMadeFromTheEnvironment(t *testing.T) {
	daemon := daemontest.Start(t)
	t.Setenv("SINGLEFLIGHT_ADDRESS", " 127.0.0.1:1 , "+daemon.Address)
	client := newClient(t, singleflight.ClientOptions{ConnectTimeout: 200 * time.Millisecond})
	singleflight.SetDefault(client)
	defer singleflight.SetDefault(nil)
	result, err := singleflight.Do(
		patient(t),
		nil,
		"k",
		func(context.Context) (int, error) { return 7, nil },
	)
	if err != nil || result.Value != 7 || result.FailedOpen {
		t.Errorf("%+v, %v", result, err)
	}
}
