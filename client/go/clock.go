// SPDX-License-Identifier: Apache-2.0

package singleflight

import "time"

// instant is a moment of a clock that goes on while the process or the machine sleeps.
type instant time.Duration

func (i instant) add(d time.Duration) instant { return i + instant(d) }

func (i instant) sub(other instant) time.Duration { return time.Duration(i - other) }
