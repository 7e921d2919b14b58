// SPDX-License-Identifier: Apache-2.0
//! A scheduled task once across nodes: every node's clock starts it, one node runs it, the others
//! get its result, also those whose clocks are late. Usage: scheduled_task NAME SLOT

use std::time::Duration;

use singleflightd::{Client, FunctionError};

async fn report(name: String, token: u64) -> Result<String, FunctionError> {
    // What it writes to can refuse a token smaller than the last one: see docs/guarantees.md.
    println!("running {name} with token {token}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(format!("report of {name}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("usage: scheduled_task NAME SLOT")?;
    let slot = arguments.next().ok_or("which slot, such as 2026-01-31T04:00?")?;
    let client = Client::builder().build()?;
    let task = name.clone();
    let done = client
        .call(format!("{name}@{slot}"))
        .group("cron")
        .lease(Duration::from_secs(5)) // outlives a broken connection; a dead node is replaced
        .run_limit(Duration::from_secs(3600))
        .retain(Duration::from_secs(600)) // for nodes whose clocks are late
        .run(|leader| report(task, leader.token()))
        .await?;
    println!("{} ({})", done.value, if done.led { "ran here" } else { "ran elsewhere" });
    client.close().await;
    Ok(())
}
