// SPDX-License-Identifier: Apache-2.0
use std::time::Duration;

/// Full jitter: each wait is random, between zero and a bound that doubles.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    bound: Duration,
}

impl Backoff {
    pub fn new(min: Duration, max: Duration) -> Self {
        Backoff { min, max, bound: min }
    }

    pub fn reset(&mut self) {
        self.bound = self.min;
    }

    pub fn next(&mut self) -> Duration {
        let wait = self.bound.mul_f64(fastrand::f64());
        self.bound = self.bound.saturating_mul(2).min(self.max);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_below_a_bound_that_doubles_up_to_the_greatest() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(35));
        for bound_ms in [10, 20, 35, 35] {
            assert_eq!(backoff.bound, Duration::from_millis(bound_ms));
            assert!(backoff.next() <= Duration::from_millis(bound_ms));
        }
        backoff.reset();
        assert_eq!(backoff.bound, Duration::from_millis(10));
    }
}
