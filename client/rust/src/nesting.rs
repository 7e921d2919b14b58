// SPDX-License-Identifier: Apache-2.0
//! The leads inside which code runs: a call that would wait for one of them would wait for itself.

use std::future::Future;
use std::sync::Arc;

use crate::leader::LeaderShared;
use crate::options::Join;

tokio::task_local! {
    static LEADS: Leads;
}

/// The leads of the functions that are under way here, the innermost first.
#[derive(Clone, Default)]
pub(crate) struct Leads(Option<Arc<Inside>>);

struct Inside {
    leader: Arc<LeaderShared>,
    outer: Leads,
}

impl Leads {
    /// Those of the code that asks.
    pub fn current() -> Self {
        LEADS.try_with(Clone::clone).unwrap_or_default()
    }

    pub fn with(&self, leader: Arc<LeaderShared>) -> Self {
        Leads(Some(Arc::new(Inside { leader, outer: self.clone() })))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<LeaderShared>> {
        let innermost = self.0.as_deref();
        std::iter::successors(innermost, |inside| inside.outer.0.as_deref())
            .map(|inside| &inside.leader)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether one of them is, or was, of the key.
    pub fn has(&self, join: &Join) -> bool {
        self.iter().any(|lead| lead.join.is_for(&join.group, &join.key))
    }

    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        LEADS.scope(self, future)
    }

    pub fn sync_scope<T>(self, run: impl FnOnce() -> T) -> T {
        LEADS.sync_scope(self, run)
    }
}
