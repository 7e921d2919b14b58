// SPDX-License-Identifier: Apache-2.0
//! Relief for a distributed lock: a thousand processes want a job done under a lock. Only one of
//! them tries for the lock, the others wait here, where waiting is cheap. The lock of this example
//! is a file that must not exist. Usage: lock_relief LOCK_FILE JOB

use std::time::Duration;

use singleflightd::{Client, FunctionError};

async fn under_lock(lock: String, job: String) -> Result<String, FunctionError> {
    println!("trying for the lock");
    if let Err(error) = std::fs::File::create_new(&lock) {
        // Somebody who does not use singleflight has it. Another caller may be luckier later.
        return Err(FunctionError::new(format!("{lock}: {error}")).with_code(2));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    std::fs::remove_file(&lock).map_err(|error| FunctionError::new(error.to_string()))?;
    Ok(format!("{job} is done"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let lock = arguments.next().ok_or("usage: lock_relief LOCK_FILE JOB")?;
    let job = arguments.next().ok_or("which job?")?;
    let client = Client::builder().build()?;
    let wanted = job.clone();
    let done = client
        .call(&job)
        .group("jobs")
        .retain(Duration::from_secs(5))
        .run(|_leader| under_lock(lock, wanted))
        .await?;
    println!("{}", done.value);
    client.close().await;
    Ok(())
}
