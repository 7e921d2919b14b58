// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

type flowFound struct {
	FlightsPerSecond float64 `json:"flights_per_second"`
	CallersPerSecond float64 `json:"callers_per_second"`
	LeadsPerFlight   float64 `json:"leads_per_flight"`
	P50              float64 `json:"p50_us,omitempty"`
	P99              float64 `json:"p99_us,omitempty"`
	P999             float64 `json:"p999_us,omitempty"`
	ServerCPU        float64 `json:"server_cpu_us_per_flight"`
	ClientCPU        float64 `json:"client_cpu_us_per_flight"`
}

// What is counted while counting is true.
type flowState struct {
	it       peer
	p        plan
	nextKey  atomic.Uint64
	counting atomic.Bool
	stopping atomic.Bool
	served   atomic.Uint64 // callers
	leads    atomic.Uint64
	failure  atomic.Pointer[error]
	mutex    sync.Mutex
	samples  []float64 // of all flights while counting, in microseconds
}

func (s *flowState) fail(err error) {
	s.failure.CompareAndSwap(nil, &err)
	s.stopping.Store(true)
}

func (s *flowState) call(ctx context.Context, caller int, key string) {
	value, err := s.it.get(ctx, caller%s.p.clients, key, func() []byte {
		if s.counting.Load() {
			s.leads.Add(1)
		}
		return makeValue(s.p.bytes)
	})
	if err == nil && len(value) < s.p.bytes {
		err = fmt.Errorf("a caller got %d bytes of %d", len(value), s.p.bytes)
	}
	if err != nil && !s.stopping.Load() {
		s.fail(err)
	} else if s.counting.Load() {
		s.served.Add(1)
	}
}

// One flight: perFlight callers of a new key. It counts from began.
func (s *flowState) flight(ctx context.Context, index int, began time.Time) {
	key := fmt.Sprintf("article:%x:%d", time.Now().UnixNano(), s.nextKey.Add(1))
	if s.p.perFlight == 1 {
		s.call(ctx, index, key)
	} else {
		var callers sync.WaitGroup
		for i := range s.p.perFlight {
			callers.Go(func() { s.call(ctx, index+i, key) })
		}
		callers.Wait()
	}
	if s.counting.Load() {
		took := float64(time.Since(began).Nanoseconds()) / 1e3
		s.mutex.Lock()
		s.samples = append(s.samples, took)
		s.mutex.Unlock()
	}
}

// Flights at fixed times, or in each slot one after the other.
func (s *flowState) begin(ctx context.Context, slots *sync.WaitGroup) {
	if s.p.rate > 0 {
		slots.Go(func() {
			if err := s.pace(ctx); err != nil {
				s.fail(err)
			}
		})
		return
	}
	for i := range s.p.flights {
		slots.Go(func() {
			for !s.stopping.Load() {
				s.flight(ctx, i, time.Now())
			}
		})
	}
}

func flow(it peer, p plan) (any, error) {
	s := &flowState{it: it, p: p}
	ctx, cancel := context.WithCancel(context.Background())
	var slots sync.WaitGroup
	s.begin(ctx, &slots)
	<-time.After(seconds(p.warmup))
	server, client := processCPU(p.pid), ownCPU()
	s.counting.Store(true)
	began := time.Now()
	<-time.After(seconds(p.seconds))
	s.waitForEnough(began)
	s.counting.Store(false)
	took := time.Since(began).Seconds()
	server, client = processCPU(p.pid)-server, ownCPU()-client
	s.stopping.Store(true)
	cancel() // what is under way does not count any more
	slots.Wait()
	if failure := s.failure.Load(); failure != nil {
		return nil, *failure
	}
	served := float64(s.served.Load())
	flights := served / float64(p.perFlight)
	if served == 0 {
		return nil, fmt.Errorf("no caller was served within %.1f s", p.seconds)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	samples := s.samples
	slices.Sort(samples)
	return flowFound{
		FlightsPerSecond: flights / took,
		CallersPerSecond: served / took,
		LeadsPerFlight:   float64(s.leads.Load()) / flights,
		P50:              quantile(samples, 0.5, samplesMin),
		P99:              quantile(samples, 0.99, 1000),
		P999:             quantile(samples, 0.999, 10000),
		ServerCPU:        server / flights,
		ClientCPU:        client / flights,
	}, nil
}

// So many flights have a median worth telling. On a busy machine they may take longer.
const samplesMin = 20

func (s *flowState) waitForEnough(began time.Time) {
	for !s.stopping.Load() && time.Since(began) < patience {
		s.mutex.Lock()
		count := len(s.samples)
		s.mutex.Unlock()
		if count >= samplesMin {
			return
		}
		<-time.After(time.Millisecond)
	}
}

func seconds(number float64) time.Duration {
	return time.Duration(number * float64(time.Second))
}

// Nothing when there are too few: it would be the luck of the few worst ones.
func quantile(sorted []float64, part float64, atLeast int) float64 {
	if len(sorted) < atLeast {
		return 0
	}
	return at(sorted, part)
}

func at(sorted []float64, part float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}
