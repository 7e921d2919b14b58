// SPDX-License-Identifier: Apache-2.0

package examples

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/singleflightd/singleflightd/client/go/internal/daemontest"
)

// start starts a daemon, whose address the examples find in their environment.
func start(t *testing.T) *daemontest.Daemon {
	t.Helper()
	daemon := daemontest.Start(t)
	t.Setenv("SINGLEFLIGHT_ADDRESS", daemon.Address)
	return daemon
}

var programs = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "singleflight-examples")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", folder, "./...").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return folder, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if folder, err := programs(); err == nil {
		os.RemoveAll(folder)
	}
	os.Exit(code)
}

// together runs a program so many times at once, and returns what each has printed.
func together(t *testing.T, count int, name string, arguments ...string) []string {
	t.Helper()
	folder, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	answers := make([]string, count)
	var all sync.WaitGroup
	for i := range answers {
		all.Add(1)
		go func() {
			defer all.Done()
			out, err := exec.Command(filepath.Join(folder, name), arguments...).CombinedOutput()
			answers[i] = string(out)
			if err != nil {
				answers[i] = fmt.Sprintf("%v: %s", err, out)
			}
		}()
	}
	all.Wait()
	return answers
}

func count(answers []string, wanted string) (n int) {
	for _, answer := range answers {
		if answer == wanted {
			n++
		}
	}
	return n
}

func TestCacheBreakdown(t *testing.T) {
	start(t)
	database := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(database, []byte("ann,profile of ann\nbob,profile of bob\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	answers := together(t, 10, "cache_breakdown", database, "bob")
	if count(answers, "profile of bob (from the database)\n") != 1 ||
		count(answers, "profile of bob (shared)\n") != 9 {
		t.Errorf("%q", answers)
	}
	answers = together(t, 2, "cache_breakdown", database, "nobody")
	if count(answers, "exit status 1: cache_breakdown: no such user\n") != 2 {
		t.Errorf("%q", answers)
	}
}

func TestMergeRemoteCalls(t *testing.T) {
	daemon := start(t)
	var requests atomic.Int32
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		for { // until all wait
			flight, err := daemon.Flight(r.Context(), server.URL)
			if err != nil || flight.GetCallers() == 10 {
				break
			}
		}
		fmt.Fprint(w, "the answer")
	}))
	defer server.Close()
	if answers := together(t, 10, "merge_remote_calls", server.URL); count(
		answers,
		"the answer",
	) != 10 {
		t.Errorf("%q", answers)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestMessageDedup(t *testing.T) {
	start(t)
	ledger := filepath.Join(t.TempDir(), "ledger")
	answers := together(t, 5, "message_dedup", ledger, "order-1", "30")
	answers = append(answers, together(t, 1, "message_dedup", ledger, "order-1", "30")...)
	lines, err := os.ReadFile(ledger)
	if err != nil || strings.Count(string(lines), "\n") != 1 {
		t.Errorf("%q, %v, %q", lines, err, answers)
	}
	if receipt, _, _ := strings.Cut(answers[0], " ("); count(answers, receipt+" (known)\n") != 5 {
		t.Errorf("%q", answers)
	}
}

func TestScheduledTask(t *testing.T) {
	start(t)
	runs := filepath.Join(t.TempDir(), "runs")
	script := "echo run >> " + runs + "; echo done; exit 3"
	answers := together(t, 5, "scheduled_task", "nightly", "sh", "-c", script)
	answers = append(answers, together(t, 1, "scheduled_task", "nightly", "sh", "-c", script)...)
	if count(answers, "exit status 3: done\n") != 6 {
		t.Errorf("%q", answers)
	}
	if lines, err := os.ReadFile(runs); err != nil || string(lines) != "run\n" {
		t.Errorf("%q, %v", lines, err)
	}
}

func TestLockRelief(t *testing.T) {
	server, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("there is no redis-server")
	}
	start(t)
	socket := filepath.Join(t.TempDir(), "redis")
	redis := exec.Command(server, "--port", "0", "--unixsocket", socket, "--save", "")
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = redis.Process.Kill()
		_ = redis.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	for _, answer := range together(t, 10, "lock_relief", socket, "job") {
		if !strings.HasPrefix(answer, "run ") {
			t.Errorf("%q", answer)
		}
	}
}
