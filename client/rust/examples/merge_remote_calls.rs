// SPDX-License-Identifier: Apache-2.0
//! Merging equal remote calls: a price is asked of a partner who counts requests. Equal questions
//! that are under way at the same time become one. Usage: merge_remote_calls ARTICLE QUANTITY

use std::time::Duration;

use singleflightd::{Client, Error, FunctionError};

// Stands for a call to a partner's API, which may refuse.
async fn ask_partner(article: String, quantity: u32) -> Result<u32, FunctionError> {
    println!("asking the partner for {quantity} of {article}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    match quantity {
        0 => Err(FunctionError::new("the partner sells no less than one").with_code(422)),
        _ => Ok(quantity * 199),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let article = arguments.next().ok_or("usage: merge_remote_calls ARTICLE QUANTITY")?;
    let quantity: u32 = arguments.next().ok_or("how many?")?.parse()?;
    let client = Client::builder().build()?;
    let asked = article.clone();
    let answer = client
        .call(format!("{article}:{quantity}"))
        .group("prices")
        .timeout(Duration::from_secs(5))
        .run(move |_leader| ask_partner(asked, quantity))
        .await;
    match answer {
        Ok(price) => println!("{} cents, asked by {} callers", price.value, price.callers),
        // Everybody who waited gets the same refusal.
        Err(Error::Function(refusal)) => println!("refused ({}): {refusal}", refusal.code),
        Err(other) => return Err(other.into()),
    }
    client.close().await;
    Ok(())
}
