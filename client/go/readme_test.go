// SPDX-License-Identifier: Apache-2.0

package singleflight_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/singleflightd/singleflightd/client/go/internal/daemontest"
)

// Every block of code in the README is run as it stands there, in an empty folder with the source
// tree beside it.
func TestTheReadmeRunsAsItIsWritten(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	prose := regexp.MustCompile("`[^`]*`").ReplaceAllString(string(text), "")
	if links := regexp.MustCompile(`\]\([^)]*\)`).FindAllString(prose, -1); links != nil {
		t.Errorf("links that a package page may not find: %q", links)
	}
	daemon := daemontest.Start(t)
	secure := startSecureDaemon(t)
	folder := folderBesideTheTree(t)
	if err := os.Symlink(secure.folder, filepath.Join(folder, "certs")); err != nil {
		t.Fatal(err)
	}
	address := daemon.Address
	run := func(name string, arguments ...string) string {
		command := exec.Command(name, arguments...)
		command.Dir = folder
		command.Env = append(os.Environ(), "SINGLEFLIGHT_ADDRESS="+address, "GOFLAGS=", "GOWORK=off")
		command.Stderr = os.Stderr
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%s %s: %v", name, arguments, err)
		}
		return string(out)
	}
	programs := 0
	for _, block := range blocks {
		language, code := block[1], block[2]
		if language == "sh" {
			run("bash", "-euc", code)
			continue
		}
		programs++
		address = daemon.Address
		if strings.Contains(code, "TLSCA") {
			address = secure.Address
		}
		if strings.Contains(code, `"testing"`) {
			writeFile(t, filepath.Join(folder, "main_test.go"), code)
			if err := os.Remove(filepath.Join(folder, "main.go")); err != nil {
				t.Fatal(err)
			}
			run("go", "mod", "tidy")
			run("go", "vet", ".")
			run("go", "test", ".")
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, "main.go"), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		_, promised, _ := strings.Cut(code, "// Output: ")
		promised, _, _ = strings.Cut(promised, "\n")
		run("go", "mod", "tidy")
		run("go", "vet", ".")
		if printed := run("go", "run", "."); promised == "" || printed != promised+"\n" {
			t.Errorf("it prints %q, not %q:\n%s", printed, promised, code)
		}
	}
	if programs != 6 {
		t.Errorf("there are %d programs in the README", programs)
	}
}

func folderBesideTheTree(t *testing.T) string {
	t.Helper()
	tree, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	above := t.TempDir()
	if err := os.Symlink(tree, filepath.Join(above, "singleflightd")); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(above, "profiles")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	return folder
}
