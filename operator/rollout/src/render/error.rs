//! Why a release cannot be made.

use thiserror::Error;

/// Why a release cannot be made, with the place and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenderError {
    /// A tracked ConfigMap is not there.
    #[error("ConfigMap `{0}` is not there: create it, or take it out of spec.workload.configMaps")]
    ConfigMapMissing(String),
    /// A tracked ConfigMap could not be read.
    #[error("ConfigMap `{name}` cannot be read now: {answer}")]
    ConfigMapUnreadable {
        /// Its name.
        name: String,
        /// What the API server said.
        answer: String,
    },
    /// A tracked Secret is not there.
    #[error(
        "Secret `{0}` is not there or cannot be read: create it, or take it out of spec.workload.secrets"
    )]
    SecretMissing(String),
    /// The adopted Deployment is not there.
    #[error(
        "Deployment `{0}` is not there: create it, or replace spec.workload.ref by spec.workload.template"
    )]
    AdoptedMissing(String),
    /// The adopted Deployment could not be read.
    #[error("Deployment `{name}` cannot be read now: {answer}")]
    AdoptedUnreadable {
        /// Its name.
        name: String,
        /// What the API server said.
        answer: String,
    },
    /// The adopted Deployment selects its Pods by no label, so that no Service can.
    #[error(
        "Deployment `{0}` has no spec.selector.matchLabels, so no Service can select its Pods: give it some, or use spec.workload.template"
    )]
    SelectorEmpty(String),
    /// An object belongs to somebody else.
    #[error("{0}")]
    Foreign(String),
    /// The Environment says nothing about what runs in it.
    #[error("spec.workload has neither template nor ref: give one of them")]
    NoWorkload,
    /// A field of the workload is set by the operator.
    #[error("{place} is set by the operator: take it out{instead}")]
    NotAllowed {
        /// Path of the field.
        place: String,
        /// What to use instead, with a separator before it.
        instead: &'static str,
    },
    /// There is nothing to run.
    #[error("{place} has to be a list of containers")]
    NoContainers {
        /// Path of the list.
        place: String,
    },
    /// A placeholder for an image that the release has not.
    #[error("{place} asks for image `{image}`, and the release has {there}")]
    ImageUnknown {
        /// Path of the field.
        place: String,
        /// Name of the image.
        image: String,
        /// Images of the release.
        there: String,
    },
    /// Something like a placeholder.
    #[error("{place} is `{text}`: write the whole image as $(images.NAME), or name an image")]
    ImageText {
        /// Path of the field.
        place: String,
        /// What is there.
        text: String,
    },
    /// An image that no container takes.
    #[error(
        "image `{image}` of the release goes to no container of {place}: name a container `{image}`, or write $(images.{image}) as an image; there are {containers}"
    )]
    ImageUnplaced {
        /// Name of the image.
        image: String,
        /// Path of the Pod template.
        place: String,
        /// Names of the containers.
        containers: String,
    },
    /// A container that gets no image.
    #[error("{place} has no image, and the release has none of the container's name: it has {there}")]
    ContainerWithoutImage {
        /// Path of the container.
        place: String,
        /// Images of the release.
        there: String,
    },
    /// The workload of an earlier release is not there.
    #[error("workload `{0}` of that release is gone, so it cannot be put back: promote the release again")]
    WorkloadGone(String),
    /// The recorded template of a release that was updated in place is not there.
    #[error(
        "ConfigMap `{0}` with the recorded template is gone, so that release cannot be put back: promote it again"
    )]
    RecordMissing(String),
    /// The recorded template could not be read.
    #[error("ConfigMap `{name}` with the recorded template cannot be read now: {answer}")]
    RecordUnreadable {
        /// Its name.
        name: String,
        /// What the API server said.
        answer: String,
    },
    /// Somebody changed the recorded template.
    #[error(
        "ConfigMap `{0}` does not hold the recorded template of that release: delete it and promote the release again"
    )]
    RecordInvalid(String),
}

impl RenderError {
    /// One CamelCase word.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ConfigMapMissing(_) => "ConfigMapMissing",
            Self::ConfigMapUnreadable { .. } => "ConfigMapUnreadable",
            Self::SecretMissing(_) => "SecretMissing",
            Self::AdoptedMissing(_) => "WorkloadMissing",
            Self::AdoptedUnreadable { .. } => "WorkloadUnreadable",
            Self::SelectorEmpty(_) => "SelectorEmpty",
            Self::Foreign(_) => "Foreign",
            Self::NoWorkload => "NoWorkload",
            Self::NotAllowed { .. } => "FieldNotAllowed",
            Self::NoContainers { .. } => "NoContainers",
            Self::ImageUnknown { .. } => "ImageUnknown",
            Self::ImageText { .. } => "ImageInvalid",
            Self::ImageUnplaced { .. } => "ImageUnplaced",
            Self::ContainerWithoutImage { .. } => "ContainerWithoutImage",
            Self::WorkloadGone(_) => "WorkloadGone",
            Self::RecordMissing(_) => "RecordMissing",
            Self::RecordUnreadable { .. } => "RecordUnreadable",
            Self::RecordInvalid(_) => "RecordInvalid",
        }
    }

    /// It may go away by itself: wait and say so. Otherwise the release is refused for good.
    pub const fn waits(&self) -> bool {
        matches!(
            self,
            Self::ConfigMapMissing(_)
                | Self::ConfigMapUnreadable { .. }
                | Self::SecretMissing(_)
                | Self::AdoptedMissing(_)
                | Self::AdoptedUnreadable { .. }
                | Self::RecordUnreadable { .. }
        )
    }
}
