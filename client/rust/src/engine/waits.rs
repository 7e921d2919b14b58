// SPDX-License-Identifier: Apache-2.0
//! Calls that are made inside of functions, and the rings that they would close.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{CallId, State};
use crate::constants::WITHIN_MAX;
use crate::leader::LeaderShared;
use crate::nesting::Leads;
use crate::options::Join;
use crate::pb::singleflight::LeadRef;

/// A group and key.
type Wanted = (String, Bytes);

/// The calls that are made inside of functions, by what they wait for.
#[derive(Default)]
pub(super) struct Waits(HashMap<Wanted, Vec<CallId>>);

fn wanted(join: &Join) -> Wanted {
    (join.group_or_default().to_owned(), join.key.clone())
}

impl Waits {
    pub fn add(&mut self, join: &Join, call: CallId) {
        self.0.entry(wanted(join)).or_default().push(call);
    }

    pub fn remove(&mut self, join: &Join, call: CallId) {
        let wanted = wanted(join);
        let Some(calls) = self.0.get_mut(&wanted) else { return };
        calls.retain(|other| *other != call);
        if calls.is_empty() {
            self.0.remove(&wanted);
        }
    }

    fn for_lead(&self, lead: &LeaderShared) -> impl Iterator<Item = CallId> + '_ {
        self.0.get(&wanted(&lead.join)).into_iter().flatten().copied()
    }
}

impl State {
    /// Whether a call for this key, made inside of these leads, would wait for itself: for one of
    /// them, or for one whose function waits for them.
    pub(super) fn closes_ring(&self, join: &Join, inside: &Leads) -> bool {
        let own = &self.inner().addresses;
        let mut held_up: Vec<&Arc<LeaderShared>> = inside.iter().collect();
        let mut at = 0;
        while let Some(lead) = held_up.get(at).copied() {
            at += 1;
            if !lead.would_be_joined() || lead.addresses != *own {
                continue;
            }
            if lead.join.is_for(&join.group, &join.key) {
                return true;
            }
            for waiting in self.waits.for_lead(lead).filter_map(|call| self.calls.get(&call)) {
                for outer in waiting.inside.iter() {
                    if !held_up.iter().any(|known| Arc::ptr_eq(known, outer)) {
                        held_up.push(outer);
                    }
                }
            }
        }
        false
    }

    /// The leads that a call is made inside of, for the server; those that no server knows are not
    /// said.
    pub(super) fn refs_of(&self, inside: &Leads) -> Arc<[LeadRef]> {
        let leads = inside.iter().filter(|lead| lead.token > 0);
        let refs = leads.map(|lead| LeadRef {
            group: lead.join.group.clone(),
            key: lead.join.key.clone(),
            token: lead.token,
        });
        refs.chain(self.inner().outermost.clone()).take(WITHIN_MAX).collect()
    }

    /// Whether the key is, or was, led by a function that the call is made inside of. Where that is
    /// another client's, the server finds it, for this very call: it merges with no other.
    pub(super) fn is_for_outer(&self, join: &Join, inside: &Leads) -> bool {
        let inner = self.inner();
        let outermost = inner.outermost.as_ref();
        inside.has(join) || outermost.is_some_and(|lead| join.is_for(&lead.group, &lead.key))
    }
}
