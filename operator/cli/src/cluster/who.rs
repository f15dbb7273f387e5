//! Who the caller is, as the API server knows it.

use std::collections::BTreeSet;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, api::PostParams};

use super::Cluster;
use crate::exit::Failure;

/// The caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// User name.
    pub username: String,
    /// Groups.
    pub groups: BTreeSet<String>,
}

impl Cluster {
    /// Asks the API server who is asking.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn whoami(&self) -> Result<Caller, Failure> {
        let reviews: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let answer = reviews
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await
            .map_err(|source| self.explain(&source, "your own name (SelfSubjectReview)"))?;
        let user = answer
            .status
            .and_then(|status| status.user_info)
            .unwrap_or_default();
        let username = user.username.unwrap_or_default();
        if username.is_empty() {
            return Err(Failure::cannot_tell(
                "the API server does not say who you are (SelfSubjectReview has no username)",
            ));
        }
        Ok(Caller {
            username,
            groups: user.groups.unwrap_or_default().into_iter().collect(),
        })
    }
}
