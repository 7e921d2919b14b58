// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The first bytes of a value say when the function returned it. Caller and server share a clock.
const stampBytes = 8

func putStamp(value []byte, when time.Time) {
	binary.LittleEndian.PutUint64(value, uint64(when.UnixNano()))
}

func stampOf(value []byte) time.Time {
	return time.Unix(0, int64(binary.LittleEndian.Uint64(value)))
}

// A job of one round may take so long.
const patience = 25 * time.Second

type fanoutFound struct {
	Median  float64 `json:"median_ms"`
	Min     float64 `json:"min_ms"`
	Max     float64 `json:"max_ms"`
	Rounds  int     `json:"rounds"`
	Leads   float64 `json:"leads_per_flight"`
	Peak    uint64  `json:"peak_bytes"`
	Waiting uint64  `json:"waiting_bytes"`
}

// Waits until everybody waits: those that the peer can count, or, when it cannot tell, until all
// have begun and a while has passed.
func settle(ctx context.Context, it peer, begun *atomic.Int64, callers int) error {
	quiet := 50*time.Millisecond + time.Duration(callers)*20*time.Microsecond
	full := time.Time{}
	for {
		count, known := it.waiting(ctx)
		if known && count >= callers {
			return nil
		}
		if !known && begun.Load() >= int64(callers) {
			if full.IsZero() {
				full = time.Now()
			} else if time.Since(full) > quiet {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d callers were not all waiting after %s", callers, patience)
		case <-time.After(time.Millisecond):
		}
	}
}

type round struct {
	took  float64 // ms
	leads int64
}

// One flight: the function of the one caller that runs returns when all others wait. What counts
// is the time from there to the last caller having the value.
func fanoutRound(it peer, p plan, number int) (round, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var begun, leads atomic.Int64
	var last atomic.Int64
	var failure atomic.Pointer[error]
	key := fmt.Sprintf("fan:%d:%d:%d", p.followers+1, time.Now().UnixNano(), number)
	fn := func() []byte {
		leads.Add(1)
		if err := settle(ctx, it, &begun, p.followers+1); err != nil {
			failure.CompareAndSwap(nil, &err)
		}
		return makeValue(p.bytes)
	}
	var callers sync.WaitGroup
	for i := range p.followers + 1 {
		callers.Go(func() {
			begun.Add(1)
			value, err := it.get(ctx, i%p.clients, key, fn)
			if err == nil && len(value) < max(p.bytes, stampBytes) {
				err = fmt.Errorf("a caller got %d bytes of %d", len(value), p.bytes)
			}
			if err != nil {
				failure.CompareAndSwap(nil, &err)
				return
			}
			took := time.Since(stampOf(value)).Nanoseconds()
			for old := last.Load(); took > old && !last.CompareAndSwap(old, took); old = last.Load() {
			}
		})
	}
	callers.Wait()
	if err := failure.Load(); err != nil {
		return round{}, *err
	}
	return round{float64(last.Load()) / 1e6, leads.Load()}, nil
}

// The first round warms up, unless it is the only one.
func fanout(it peer, p plan) (any, error) {
	var samples []float64
	var found fanoutFound
	began := time.Now()
	for i := range p.rounds {
		if i > 1 && time.Since(began) > seconds(p.seconds) {
			break
		}
		resetPeak(p.pid)
		found.Waiting = processMemory(p.pid, "VmRSS")
		one, err := fanoutRound(it, p, i)
		if err != nil {
			return nil, err
		}
		if i > 0 || p.rounds == 1 {
			samples = append(samples, one.took)
			found.Leads = float64(one.leads)
			found.Peak = max(found.Peak, processMemory(p.pid, "VmHWM")-found.Waiting)
		}
	}
	slices.Sort(samples)
	found.Median = at(samples, 0.5)
	found.Min = samples[0]
	found.Max = samples[len(samples)-1]
	found.Rounds = len(samples)
	return found, nil
}

type waitersFound struct {
	Callers        int     `json:"callers"`
	BytesPerCaller float64 `json:"bytes_per_caller"`
	EndToEnd       float64 `json:"end_to_end_bytes"`
}

// What this program has when it has thrown away what it does not need.
func ownMemory() float64 {
	debug.FreeOSMemory()
	return float64(processMemory(os.Getpid(), "VmRSS"))
}

// Callers that wait, perFlight of each of flights keys; nobody gets a value.
func waiters(it peer, p plan) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	callers := p.flights * p.perFlight
	var begun atomic.Int64
	start := func(from, to int) {
		for i := from; i < to; i++ {
			// One more than there will be: the function never returns.
			key := fmt.Sprintf("fan:%d:wait:%d", callers+1, i/p.perFlight)
			go func() {
				begun.Add(1)
				_, _ = it.get(ctx, i%p.clients, key, func() []byte { <-ctx.Done(); return nil })
			}()
		}
	}
	first := callers/100 + p.clients
	start(0, first)
	if err := settle(ctx, it, &begun, first); err != nil {
		return nil, err
	}
	before, own := processMemory(p.pid, "VmRSS"), ownMemory()
	start(first, callers)
	if err := settle(ctx, it, &begun, callers); err != nil {
		return nil, err
	}
	server := float64(processMemory(p.pid, "VmRSS")) - float64(before)
	own = ownMemory() - own
	waiting := float64(callers - first)
	return waitersFound{callers, server / waiting, (server + own) / waiting}, nil
}
