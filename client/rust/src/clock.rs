// SPDX-License-Identifier: Apache-2.0
//! The clock that leads are kept by: it goes on while the process is stopped and while the machine
//! sleeps, which neither `Instant` nor a timer of tokio's does.

use std::time::Duration;

use rustix::time::{clock_gettime, ClockId};

#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Since some moment before this process began.
pub(crate) fn now() -> Duration {
    let time = clock_gettime(CLOCK);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
