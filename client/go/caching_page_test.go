// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/singleflightd/singleflightd/client/go/internal/daemontest"
)

// The Go code of docs/caching.md, in one program with a database that counts.
func TestThePageAboutCaches(t *testing.T) {
	page, err := os.ReadFile("../../docs/caching.md")
	if err != nil {
		t.Skip("the page is not part of the module:", err)
	}
	program, err := os.ReadFile("testdata/caching/main.go.txt")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllSubmatch(page, -1)
	for _, block := range blocks {
		program = append(append(program, '\n'), block[1]...)
	}
	daemon := daemontest.Start(t)
	folder := folderBesideTheTree(t)
	if err := os.WriteFile(filepath.Join(folder, "main.go"), program, 0o600); err != nil {
		t.Fatal(err)
	}
	script := "go mod init example.com/caches" +
		" && go mod edit -require github.com/singleflightd/singleflightd/client/go@v0.1.0" +
		" -replace github.com/singleflightd/singleflightd/client/go=../singleflightd/client/go" +
		" && go mod tidy && go vet . && go run ."
	command := exec.Command("sh", "-c", script)
	command.Dir = folder
	command.Env = append(os.Environ(), "SINGLEFLIGHT_ADDRESS="+daemon.Address, "GOFLAGS=", "GOWORK=off")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
