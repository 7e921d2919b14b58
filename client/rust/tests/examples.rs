// SPDX-License-Identifier: Apache-2.0
//! The five uses, each run twice against one daemon.

mod support;

use std::process::Command;

use support::Daemon;

fn run(daemon: &Daemon, example: &str, arguments: &[&str]) -> String {
    // Beside this test's own program, which is in target/<profile>/deps.
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().unwrap().parent().unwrap().join("examples");
    let out = Command::new(folder.join(example))
        .args(arguments)
        .env("SINGLEFLIGHT_ADDRESS", &daemon.address)
        .output()
        .unwrap();
    assert!(out.status.success(), "{example}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn cache_breakdown() {
    let daemon = Daemon::start();
    assert!(run(&daemon, "cache_breakdown", &["a"]).contains("query for a"));
    let late = run(&daemon, "cache_breakdown", &["a"]);
    assert!(late.contains("row of a") && !late.contains("query"), "{late}");
}

#[test]
fn merge_remote_calls() {
    let daemon = Daemon::start();
    assert!(run(&daemon, "merge_remote_calls", &["nail", "2"]).contains("398 cents"));
    assert!(run(&daemon, "merge_remote_calls", &["nail", "0"]).contains("refused (422)"));
}

#[test]
fn scheduled_task() {
    let daemon = Daemon::start();
    assert!(run(&daemon, "scheduled_task", &["night", "04:00"]).contains("ran here"));
    assert!(run(&daemon, "scheduled_task", &["night", "04:00"]).contains("ran elsewhere"));
}

#[test]
fn message_dedup() {
    let daemon = Daemon::start();
    let ledger = std::env::temp_dir().join(format!("sfl-rust-ledger-{}", std::process::id()));
    let path = ledger.to_str().unwrap();
    let first = run(&daemon, "message_dedup", &[path, "m1", "10"]);
    let second = run(&daemon, "message_dedup", &[path, "m1", "10"]);
    assert!(first.contains("(charged)") && second.contains("(delivered again)"));
    assert_eq!(std::fs::read_to_string(&ledger).unwrap().lines().count(), 1);
    std::fs::remove_file(ledger).unwrap();
}

#[test]
fn lock_relief() {
    let daemon = Daemon::start();
    let lock = std::env::temp_dir().join(format!("sfl-rust-lock-{}", std::process::id()));
    let path = lock.to_str().unwrap();
    assert!(run(&daemon, "lock_relief", &[path, "job"]).contains("trying for the lock"));
    let late = run(&daemon, "lock_relief", &[path, "job"]);
    assert!(late.contains("job is done") && !late.contains("trying"), "{late}");
}
