// SPDX-License-Identifier: Apache-2.0
//! How long a lead holds. All times are those of [`clock::now`](crate::clock::now).

use std::collections::VecDeque;
use std::time::Duration;

use crate::constants::{ASK_MAX, RENEWALS_PER_HOLD};

// A timer that is later than this did not run because the process, or the machine, did not.
const LATE_MIN: Duration = Duration::from_millis(250);

/// What is to be done when the timer fires.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send a renewal with this id.
    Renew(u64),
    /// The lead is lost.
    Over,
    /// Wait on.
    Nothing,
}

pub(super) struct Hold {
    silence: Duration, // it holds for so long without an answer; zero: as the connection does
    answers: bool,     // the server answers renewals
    since: Duration,   // what the silence counts from
    next_renewal: Duration,
    last_id: u64,
    asked: VecDeque<(u64, Duration)>, // renewals that are not answered, and when they were sent
    expected: Duration,               // when the timer is to fire
    asking_until: Option<Duration>, // it was paused beyond the end, and asks whether it still leads
}

impl Hold {
    /// `sent`: when the join or resume was that the server has answered with the lead.
    pub fn new(lease_ms: u64, silence_ms: u64, sent: Duration) -> Self {
        let answers = silence_ms > 0;
        let silence = Duration::from_millis(if answers { silence_ms } else { lease_ms });
        Hold {
            silence,
            answers,
            since: sent,
            next_renewal: sent + silence / RENEWALS_PER_HOLD,
            last_id: 0,
            asked: VecDeque::new(),
            expected: Duration::ZERO,
            asking_until: None,
        }
    }

    /// It does not depend on the clock.
    pub fn is_endless(&self) -> bool {
        self.silence.is_zero()
    }

    /// Whether a server of the first edition granted it, which answers no renewal.
    pub fn is_unanswered(&self) -> bool {
        !self.answers
    }

    pub fn end(&self) -> Duration {
        if self.is_endless() {
            return Duration::MAX;
        }
        self.since + self.silence
    }

    pub fn silence(&self) -> Duration {
        self.silence
    }

    /// When the timer is to fire next; `connected`: a renewal can be sent.
    pub fn next_timer(&mut self, connected: bool) -> Duration {
        self.expected = match self.asking_until {
            Some(until) => until,
            None if connected => self.next_renewal.min(self.end()),
            None => self.end(),
        };
        self.expected
    }

    pub fn on_timer(&mut self, now: Duration, connected: bool) -> Due {
        if now < self.end() {
            return if connected && now >= self.next_renewal {
                self.renew(now)
            } else {
                Due::Nothing
            };
        }
        let was_paused = now > self.expected + LATE_MIN;
        match self.asking_until {
            None if self.answers && was_paused => {
                let due = self.ask(now);
                if connected {
                    due
                } else {
                    Due::Nothing // the resume asks
                }
            }
            Some(until) if now < until => Due::Nothing,
            _ => Due::Over,
        }
    }

    pub fn is_renewal_due(&self, now: Duration) -> bool {
        !self.is_endless() && now >= self.next_renewal
    }

    /// It may be over: a renewal asks, and until there is time for an answer nobody is told.
    pub fn ask(&mut self, now: Duration) -> Due {
        self.asking_until = Some(now + self.silence.min(ASK_MAX));
        self.renew(now)
    }

    fn renew(&mut self, now: Duration) -> Due {
        self.next_renewal = now + self.silence / RENEWALS_PER_HOLD;
        if !self.answers {
            return Due::Renew(0);
        }
        self.last_id += 1;
        self.asked.push_back((self.last_id, now));
        Due::Renew(self.last_id)
    }

    /// The server has answered.
    pub fn on_renewed(&mut self, id: u64, silence_ms: u64) {
        while let Some((asked, sent)) = self.asked.pop_front() {
            if asked == id {
                self.holds_since(sent);
                break;
            }
        }
        if silence_ms > 0 {
            self.silence = Duration::from_millis(silence_ms);
            let in_time = self.since + self.silence / RENEWALS_PER_HOLD;
            self.next_renewal = self.next_renewal.min(in_time);
        }
    }

    /// A renewal that is never answered has left this process.
    pub fn on_sent(&mut self, sent: Duration) {
        if !self.answers {
            self.holds_since(sent);
        }
    }

    /// The connection is gone, and with it what was asked there.
    pub fn on_cut_off(&mut self) {
        self.asked.clear();
    }

    /// The function has ended: nobody is misled when its outcome is offered for a while.
    pub fn begin_again(&mut self, now: Duration) {
        self.holds_since(now);
    }

    /// The server has taken the lead back that was asked for then.
    pub fn on_resumed(&mut self, lease_ms: u64, silence_ms: u64, sent: Duration) {
        let last_id = self.last_id;
        *self = Hold { last_id, ..Hold::new(lease_ms, silence_ms, sent) };
    }

    fn holds_since(&mut self, sent: Duration) {
        self.since = self.since.max(sent);
        self.asking_until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    // A lead of 3 s that was asked for at 10 s.
    fn hold() -> Hold {
        Hold::new(3000, 3000, ms(10_000))
    }

    fn fire(hold: &mut Hold, connected: bool) -> (Duration, Due) {
        let now = hold.next_timer(connected);
        (now, hold.on_timer(now, connected))
    }

    #[test]
    fn it_is_renewed_every_third_and_counts_from_the_sending_of_the_last_answered_one() {
        let mut hold = hold();
        assert_eq!(fire(&mut hold, true), (ms(11_000), Due::Renew(1)));
        assert_eq!(fire(&mut hold, true), (ms(12_000), Due::Renew(2)));
        assert_eq!(hold.end(), ms(13_000));
        hold.on_renewed(1, 0);
        assert_eq!(hold.end(), ms(14_000));
        assert_eq!(fire(&mut hold, true), (ms(13_000), Due::Renew(3)));
        hold.on_renewed(3, 6000);
        assert_eq!(hold.end(), ms(19_000));
    }

    #[test]
    fn an_answer_that_says_a_shorter_time_is_renewed_in_time() {
        let mut hold = Hold::new(0, 9000, ms(10_000));
        assert_eq!(fire(&mut hold, true), (ms(13_000), Due::Renew(1)));
        hold.on_renewed(1, 600);
        assert_eq!(hold.end(), ms(13_600));
        assert_eq!(fire(&mut hold, true), (ms(13_200), Due::Renew(2)));
    }

    #[test]
    fn a_lead_that_came_late_asks_and_has_time_for_an_answer() {
        let mut hold = hold();
        assert!(!hold.is_renewal_due(ms(10_999)) && hold.is_renewal_due(ms(11_000)));
        assert_eq!(hold.ask(ms(12_990)), Due::Renew(1));
        assert_eq!(hold.next_timer(true), ms(15_990));
        assert_eq!(hold.on_timer(ms(13_500), true), Due::Nothing);
        hold.on_renewed(1, 0);
        assert_eq!(hold.end(), ms(15_990));
    }

    #[test]
    fn it_is_over_when_nobody_answers_though_every_renewal_was_sent() {
        let mut hold = hold();
        assert_eq!(fire(&mut hold, true).1, Due::Renew(1));
        assert_eq!(fire(&mut hold, true).1, Due::Renew(2));
        assert_eq!(fire(&mut hold, true), (ms(13_000), Due::Over));
    }

    #[test]
    fn an_old_server_renews_by_the_sending() {
        let mut hold = Hold::new(3000, 0, ms(10_000));
        assert_eq!(fire(&mut hold, true), (ms(11_000), Due::Renew(0)));
        assert_eq!(hold.end(), ms(13_000));
        hold.on_sent(ms(11_000));
        assert_eq!(hold.end(), ms(14_000));
        hold.next_timer(true);
        assert_eq!(hold.on_timer(ms(60_000), true), Due::Over);
    }

    #[test]
    fn without_a_lease_an_old_server_sets_no_end() {
        assert_eq!(Hold::new(0, 0, ms(1)).end(), Duration::MAX);
    }

    #[test]
    fn who_was_paused_beyond_the_end_asks_first() {
        let mut hold = hold();
        hold.next_timer(true);
        assert_eq!(hold.on_timer(ms(60_000), true), Due::Renew(1));
        assert!(hold.end() < ms(60_000)); // who asks hears that it is lost
        assert_eq!(hold.next_timer(true), ms(63_000));
        hold.on_renewed(1, 0);
        assert_eq!(hold.end(), ms(63_000));
        assert_eq!(fire(&mut hold, true), (ms(61_000), Due::Renew(2)));
    }

    #[test]
    fn who_asked_after_a_pause_and_heard_nothing_has_lost_it() {
        let mut hold = Hold::new(60_000, 60_000, ms(10_000));
        hold.next_timer(true);
        assert_eq!(hold.on_timer(ms(100_000), false), Due::Nothing);
        assert_eq!(fire(&mut hold, false), (ms(105_000), Due::Over));
    }

    #[test]
    fn a_pause_within_the_silence_is_none() {
        let mut hold = hold();
        hold.next_timer(true);
        assert_eq!(hold.on_timer(ms(12_900), true), Due::Renew(1));
        assert_eq!(hold.next_timer(true), ms(13_000));
        assert_eq!(hold.on_timer(ms(13_050), true), Due::Over);
    }
}
