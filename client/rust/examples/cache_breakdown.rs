// SPDX-License-Identifier: Apache-2.0
//! Cache breakdown: a hot key has expired, and everybody asks the database at once. One asks, all
//! get the row. Usage: cache_breakdown KEY

use std::time::Duration;

// Stands for a slow query.
async fn query(key: String) -> Result<String, std::io::Error> {
    println!("query for {key}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(format!("row of {key}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let key = std::env::args().nth(1).ok_or("usage: cache_breakdown KEY")?;
    // Without the service the page is slower, not gone.
    let client = singleflightd::Client::builder().fail_open(true).build()?;
    let asked = key.clone();
    let row = client
        .call(&key)
        .group("rows")
        .timeout(Duration::from_secs(5))
        .retain(Duration::from_secs(2)) // who comes a little later is served, too
        .run(|_leader| query(asked))
        .await?;
    println!("{} (led: {}, callers: {})", row.value, row.led, row.callers);
    client.close().await;
    Ok(())
}
