// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Go's own timers come up to a millisecond late, which would be most of what a flight takes; the
// kernel's are read through the same poller as sockets are, and come in time.
const tickMin = 50 * time.Microsecond

// pace begins flights at fixed times until it is told to stop. One that comes late, because as many
// as are allowed are under way, counts from when it was due: a server that stops is not asked less.
func (s *flowState) pace(ctx context.Context) error {
	period := time.Duration(float64(time.Second) / s.p.rate)
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(timer), "timer")
	defer file.Close()
	tick := unix.NsecToTimespec(max(period, tickMin).Nanoseconds())
	setting := unix.ItimerSpec{Interval: tick, Value: tick}
	if err := unix.TimerfdSettime(timer, 0, &setting, nil); err != nil {
		return err
	}
	idle := make(chan int, s.p.flights)
	for i := range s.p.flights {
		idle <- i
	}
	start := time.Now()
	ticks := make([]byte, 8)
	for begun := int64(0); !s.stopping.Load(); {
		if _, err := file.Read(ticks); err != nil {
			return err
		}
		for due := int64(time.Since(start) / period); begun < due && !s.stopping.Load(); {
			begun++
			index := <-idle
			go func(when time.Time) {
				s.flight(ctx, index, when)
				idle <- index
			}(start.Add(time.Duration(begun) * period))
		}
	}
	return nil
}
