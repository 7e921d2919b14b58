// SPDX-License-Identifier: Apache-2.0
//! Maps by ids that this client counts up itself: nobody can choose them so that they collide,
//! which is what the standard library's hash is so careful about.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(super) type IdMap<T> = HashMap<u64, T, BuildHasherDefault<IdHasher>>;

#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15); // 2^64 by the golden ratio: spreads them
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("an id is a u64");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
