// SPDX-License-Identifier: Apache-2.0
use std::cmp::Reverse;

use xxhash_rust::xxh64::Xxh64;

fn score(address: &str, group: &str, key: &[u8]) -> u64 {
    let mut hash = Xxh64::new(0);
    hash.update(address.as_bytes());
    hash.update(&[0]);
    hash.update(if group.is_empty() { "default" } else { group }.as_bytes());
    hash.update(&[0]);
    hash.update(key);
    hash.digest()
}

/// The servers of a key, by rendezvous hashing (Thaler and Ravishankar 1998): the one with the
/// greatest score first, of equal ones the first. All clients of all languages agree.
pub(super) fn order(addresses: &[String], group: &str, key: &[u8]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..addresses.len()).collect();
    if order.len() > 1 {
        order.sort_by_key(|at| Reverse(score(&addresses[*at], group, key)));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_its_place_and_an_empty_group_is_default() {
        let addresses = ["a:1", "b:2", "c:3"].map(String::from);
        let mut places = order(&addresses, "", b"key");
        assert_eq!(places, order(&addresses, "default", b"key"));
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2]);
    }

    #[test]
    fn homes_do_not_move_when_another_server_goes() {
        let three = ["a:1", "b:2", "c:3"].map(String::from);
        let two = ["a:1", "b:2"].map(String::from);
        for key in 0..100u32 {
            let home = order(&three, "g", &key.to_le_bytes())[0];
            if home < 2 {
                assert_eq!(home, order(&two, "g", &key.to_le_bytes())[0]);
            }
        }
    }

    // The same figures as XXH64 gives everywhere else.
    #[test]
    fn scores_are_xxh64_of_address_group_and_key() {
        assert_eq!(score("a:1", "g", b"k"), xxhash_rust::xxh64::xxh64(b"a:1\0g\0k", 0));
        assert_eq!(xxhash_rust::xxh64::xxh64(b"", 0), 0xEF46_DB37_51D8_E999);
    }
}
