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

/// Runs in another process: prints what a call for the key ends with.
#[test]
fn program() {
    let Ok(address) = std::env::var("SFL_TEST_PROGRAM_ADDRESS") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = singleflightd::Client::builder().address(address).build().unwrap();
        for key in ["k", "another"] {
            let end = client.call(key).run(|_| async { Ok::<_, std::convert::Infallible>(1) });
            println!("end={:?}", end.await.map(|flight| flight.led).map_err(|why| why.code()));
        }
    });
}

#[tokio::test]
async fn a_program_that_a_function_runs_does_not_wait_for_that_function() {
    let daemon = Daemon::start();
    let client = daemon.client();
    let address = daemon.address.clone();
    let said = client.call("k").run_blocking(move |leader| {
        let program = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "program", "--nocapture"])
            .env("SFL_TEST_PROGRAM_ADDRESS", address)
            .envs(leader.environment())
            .output();
        program.map(|out| String::from_utf8(out.stdout).unwrap())
    });
    let said = support::soon(said).await.unwrap().value;
    let ends: Vec<_> = said.match_indices("end=").map(|(at, _)| &said[at..]).collect();
    assert_eq!(ends.len(), 2, "{said}");
    assert!(ends[0].starts_with("end=Err(Some(FailedPrecondition))"), "{said}");
    assert!(ends[1].starts_with("end=Ok(true)"), "{said}");
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
