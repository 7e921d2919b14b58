// SPDX-License-Identifier: Apache-2.0
//! Message deduplication: a broker delivers at least once, and an order must be charged once.
//! Usage: message_dedup LEDGER MESSAGE_ID AMOUNT

use std::io::Write;
use std::time::Duration;

use singleflightd::Client;

// Charges the order: a line in the ledger.
fn charge(ledger: &str, id: &str, amount: &str, token: u64) -> Result<String, std::io::Error> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(ledger)?;
    writeln!(file, "{id} {amount} {token}")?;
    Ok(format!("receipt {token} for {id}"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, ledger, id, amount] = arguments.as_slice() else {
        return Err("usage: message_dedup LEDGER MESSAGE_ID AMOUNT".into());
    };
    let client = Client::builder().build()?;
    let (ledger, message, sum) = (ledger.clone(), id.clone(), amount.clone());
    let receipt = client
        .call(id)
        .group("orders")
        // The window. An error is not retained: the broker delivers again, and it is tried again.
        .retain(Duration::from_secs(3600))
        // The same id with another amount is no redelivery but a mistake, and is refused.
        .fingerprint(amount)
        .run(move |leader| async move { charge(&ledger, &message, &sum, leader.token()) })
        .await?;
    println!("{} ({})", receipt.value, if receipt.led { "charged" } else { "delivered again" });
    client.close().await;
    Ok(())
}
