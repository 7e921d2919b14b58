// SPDX-License-Identifier: Apache-2.0

// A scheduled task, once across all nodes. Every node's scheduler runs it at about the same time.
// Whoever comes first runs the command; who comes while it runs waits for it; who comes within the
// RETAIN time after it has ended gets the same output at once, and nothing runs. So RETAIN is longer
// than the clocks of the nodes may differ, and shorter than the time from one run to the next. A
// node that dies at it is replaced by the next that waits.
//
// Usage: [RETAIN=10m] scheduled_task NAME COMMAND [ARG...]
package main

import (
	"cmp"
	"context"
	"errors"
	"log"
	"os"
	"os/exec"
	"time"

	"github.com/singleflightd/singleflightd/client/go"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 3 {
		log.Fatal("usage: scheduled_task NAME COMMAND [ARG...]")
	}
	retain, err := time.ParseDuration(cmp.Or(os.Getenv("RETAIN"), "10m"))
	if err != nil {
		log.Fatal("scheduled_task: ", err)
	}
	cron := &singleflight.Group{Name: "cron", Options: []singleflight.Option{
		singleflight.WithRetain(retain),
		// A task that failed is not to be run again by the node whose clock is slow.
		singleflight.WithRetainError(retain),
		singleflight.WithCodec(singleflight.Raw),
	}}
	result, err := singleflight.Do(context.Background(), cron, os.Args[1], run)
	_, _ = os.Stdout.Write(result.Value) // also beside an error
	var failure *singleflight.FunctionError
	if errors.As(err, &failure) && failure.Code != 0 {
		os.Exit(int(failure.Code))
	}
	if err != nil {
		log.Fatal("scheduled_task: ", err)
	}
}

// run returns what the command has written, and its exit code as an error.
func run(ctx context.Context) ([]byte, error) {
	command := exec.CommandContext(ctx, os.Args[2], os.Args[3:]...)
	output, err := command.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return output, &singleflight.FunctionError{
			Code:    int32(exit.ExitCode()),
			Message: err.Error(),
		}
	}
	return output, err
}
