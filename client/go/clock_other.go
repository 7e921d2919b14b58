// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package singleflight

import "time"

var started = time.Now()

// now is the greater of what the steady clock has counted, which may stand still while the machine
// sleeps, and what the wall clock has moved on: too late a moment only gives a lead up early.
func now() instant {
	steady := time.Since(started)
	wall := time.Now().Round(0).Sub(started.Round(0))
	return instant(max(steady, wall))
}
