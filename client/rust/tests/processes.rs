// SPDX-License-Identifier: Apache-2.0
//! Many processes on one key; the program is this very test, told to be a caller.

mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use support::Daemon;

const PROCESSES: usize = 40;

/// Runs in the other processes: prints the token that the value was made with.
#[test]
fn caller() {
    let Ok(address) = std::env::var("SFL_TEST_CALLER_ADDRESS") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = singleflightd::Client::builder().address(address).build().unwrap();
        let flight = client
            .call("key")
            // Whoever comes late is served, too.
            .retain(Duration::from_secs(60))
            .run(|leader| async move { Ok::<_, std::convert::Infallible>(leader.token()) })
            .await
            .unwrap();
        println!("value={} led={}", flight.value, flight.led);
        client.close().await;
    });
}

#[test]
fn forty_processes_on_one_key_are_one_execution() {
    let daemon = Daemon::start();
    let callers: Vec<_> = (0..PROCESSES)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "caller", "--nocapture"])
                .env("SFL_TEST_CALLER_ADDRESS", &daemon.address)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut values = Vec::new();
    let mut led = 0;
    for caller in callers {
        let out = String::from_utf8(caller.wait_with_output().unwrap().stdout).unwrap();
        let at = out.find("value=").unwrap_or_else(|| panic!("no value in {out}"));
        let line = out[at..].lines().next().unwrap();
        values.push(line.split(' ').next().unwrap().to_owned());
        led += usize::from(line.ends_with("led=true"));
    }
    values.dedup();
    assert_eq!((values.len(), led), (1, 1));
}
