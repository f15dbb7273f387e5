//! Promotions in order.

use dcanary_crds::{ConditionStatus, ConditionType, EnvironmentStatus, Promotion};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::seen::Seen;

/// Where a promotion stands in time: a later one wins.
pub type Place = (Timestamp, String);

/// When an object was created.
pub(super) fn created(metadata: &ObjectMeta) -> Option<Timestamp> {
    metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// The place of a promotion.
pub fn key(promotion: &Promotion) -> Place {
    let at = created(&promotion.metadata).unwrap_or(Timestamp::MIN);
    (at, promotion.metadata.uid.clone().unwrap_or_default())
}

/// Whether a promotion's own status says that it has ended.
pub fn finished(promotion: &Promotion) -> bool {
    promotion.status.as_ref().is_some_and(|status| {
        status.conditions.iter().any(|condition| {
            condition.kind == ConditionType::Finished && condition.status == ConditionStatus::True
        })
    })
}

/// Promotions that have not ended and are not the rollout under way, the newest first.
pub fn queue<'a>(status: &EnvironmentStatus, seen: &'a Seen) -> Vec<&'a Promotion> {
    let current = status
        .rollout
        .as_ref()
        .map(|rollout| rollout.promotion_uid.as_str());
    let mut open: Vec<&Promotion> = seen
        .promotions
        .iter()
        .filter(|promotion| {
            let Some(uid) = promotion.metadata.uid.as_deref() else {
                return false;
            };
            !finished(promotion)
                && promotion.metadata.deletion_timestamp.is_none()
                && current != Some(uid)
                && status.ended.iter().all(|ended| ended.promotion_uid != uid)
        })
        .collect();
    open.sort_by_key(|promotion| std::cmp::Reverse(key(promotion)));
    open
}
