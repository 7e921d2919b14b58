// SPDX-License-Identifier: Apache-2.0
//! The messages, as `generate` makes them from proto/.
#![allow(missing_docs, clippy::all, clippy::pedantic)]

/// `singleflight.v1`.
pub mod singleflight {
    include!("pb/singleflight.v1.rs");
}

/// `grpc.health.v1`.
pub mod health {
    include!("pb/grpc.health.v1.rs");
}
