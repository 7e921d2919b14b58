// SPDX-License-Identifier: Apache-2.0
//! The leads inside which code runs: a call that would wait for one of them would wait for itself.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use crate::leader::LeaderShared;
use crate::options::Join;
use crate::pb::singleflight::LeadRef;

const GROUP: &str = "SINGLEFLIGHT_GROUP";
const KEY: &str = "SINGLEFLIGHT_KEY";
const TOKEN: &str = "SINGLEFLIGHT_TOKEN";
const ATTEMPT: &str = "SINGLEFLIGHT_ATTEMPT";

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

/// What tells another program in which lead it runs, as the tool tells it to its command.
pub(crate) fn environment_of(leader: &LeaderShared) -> Vec<(&'static str, OsString)> {
    let mut variables = vec![
        (GROUP, leader.join.group_or_default().into()),
        (TOKEN, leader.token.to_string().into()),
        (ATTEMPT, leader.attempt.to_string().into()),
    ];
    // No variable holds a zero byte.
    if !leader.join.key.contains(&0) {
        variables.push((KEY, OsStr::from_bytes(&leader.join.key).into()));
    }
    variables
}

/// The lead that this whole program runs in. Whether it is still current is the server's to say.
pub(crate) fn lead_of_environment() -> Option<LeadRef> {
    let key = std::env::var_os(KEY).filter(|key| !key.is_empty())?;
    let token = std::env::var(TOKEN).ok()?.parse().ok().filter(|token| *token > 0)?;
    let group = std::env::var(GROUP).ok().filter(|group| !group.is_empty());
    let group = group.unwrap_or_else(|| "default".to_owned());
    Some(LeadRef { group, key: key.into_vec().into(), token })
}
