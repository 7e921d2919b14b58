// SPDX-License-Identifier: Apache-2.0
//! Callers that come and leave while connections break: every call ends, and nothing of ours panics.

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use singleflightd::{Client, Leader, LeaderLoss};
use support::relay::Relay;
use support::{closed, soon, Daemon};
use tokio::task::JoinSet;

type Never = std::convert::Infallible;

const CALLERS: u64 = 40;
const CALLS: u64 = 40;

static PANICS: AtomicU32 = AtomicU32::new(0);

/// A row of numbers that is the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn is_one_of(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn ms(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.roll(below))
    }
}

async fn one_call(client: Client, mut dice: Dice) {
    let mut call = client.call(dice.roll(6).to_string());
    if dice.is_one_of(2) {
        call = call.timeout(dice.ms(60));
    }
    if dice.is_one_of(3) {
        call = call.lease(Duration::from_secs(1));
    }
    if dice.is_one_of(4) {
        call = call.fresh(true);
    }
    if dice.is_one_of(4) {
        call = call.retain(dice.ms(30)).stale(dice.ms(30));
    }
    if dice.is_one_of(6) {
        call = call.on_leader_loss(LeaderLoss::Fail);
    }
    call = call.fail_open(dice.is_one_of(3)).local_merge(!dice.is_one_of(4));
    let (is_live, writes, pause) = (dice.is_one_of(4), dice.roll(4), dice.ms(20));
    let nested = client.clone();
    let function = move |leader: Leader| async move {
        for _ in 0..writes {
            let _ = leader.write(vec![0; 100_000]).await;
        }
        let inner = nested.call(leader.key()).timeout(pause);
        let _ = inner.run_bytes(|_| async { Ok::<_, Never>("") }).await;
        tokio::time::sleep(pause).await; // poll: a function takes its time
        Ok::<_, Never>(Bytes::from_static(b"end"))
    };
    let leaves = dice.is_one_of(4).then(|| dice.ms(15));
    let end = async {
        if is_live {
            drop(call.live(function).result().await);
        } else {
            drop(call.run_bytes(function).await);
        }
    };
    match leaves {
        Some(after) => drop(tokio::time::timeout(after, end).await),
        None => end.await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_call_ends() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
    let (first, second) = (Daemon::start(), Daemon::start());
    let relays = [Relay::to(&first.address).await, Relay::to(&second.address).await];
    let client = Client::builder()
        .address(&relays[0].address)
        .address(closed())
        .address(&relays[1].address)
        .connect_timeout(Duration::from_millis(400))
        .backoff(Duration::from_millis(1), Duration::from_millis(20))
        .build()
        .unwrap();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let client = client.clone();
        callers.spawn(async move {
            for call in 0..CALLS {
                soon(one_call(client.clone(), Dice(caller * CALLS + call + 1))).await;
            }
        });
    }
    let mut dice = Dice(7);
    loop {
        let relay = &relays[dice.roll(2) as usize];
        tokio::select! {
            ended = callers.join_next() => match ended {
                Some(ended) => ended.unwrap(),
                None => break,
            },
            () = tokio::time::sleep(dice.ms(60)) => relay.cut(),
        }
        tokio::time::sleep(dice.ms(20)).await; // poll: a cut lasts a while
        relays.iter().for_each(Relay::open);
    }
    soon(client.close()).await;
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}
