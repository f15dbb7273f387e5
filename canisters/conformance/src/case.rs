//! What a case is, and how it says that a law does not hold.

use crate::client::Network;
use crate::faults::Fault;
use futures::future::BoxFuture;
use std::fmt::{Debug, Display, Formatter};

/// Why a case failed: what was expected and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Display for Failure {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

// Everything that goes wrong on the way fails the case. Possible because a failure is not an error itself.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(text)
    }
}

impl Failure {
    /// A failure that says this.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Whether the law holds.
pub type Verdict = Result<(), Failure>;

/// A law and how it is tried.
#[derive(Clone, Copy)]
pub struct Case {
    /// The title of the clause in the specification.
    pub clause: &'static str,
    /// The law with underscores for spaces.
    pub name: &'static str,
    /// Faults of a node under which it must fail. A law that notices none is not tested itself, and does not count yet.
    pub notices: &'static [Fault],
    /// The law that shows the other side: what happens where the condition of this one does not hold. `None` when it tries both sides itself.
    pub twin: Option<&'static str>,
    pub(crate) run: fn(Network) -> BoxFuture<'static, Verdict>,
}

impl Debug for Case {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.name)
    }
}

impl Case {
    /// The law as a sentence.
    pub fn law(&self) -> String {
        let mut text = self.name.replace('_', " ");
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        text.push('.');
        text
    }
}

/// Makes a case of a clause, a function, the faults that it must notice, and the law that shows the other side where it does not do so itself.
macro_rules! case {
    ($clause:expr, $law:ident $(, $fault:ident)*) => {
        $crate::case::case!($clause, $law $(, $fault)*; None)
    };
    ($clause:expr, $law:ident $(, $fault:ident)*; twin $twin:ident) => {
        $crate::case::case!($clause, $law $(, $fault)*; Some(stringify!($twin)))
    };
    ($clause:expr, $law:ident $(, $fault:ident)*; $twin:expr) => {
        $crate::case::Case {
            clause: $clause,
            name: stringify!($law),
            notices: &[$($crate::faults::Fault::$fault),*],
            twin: $twin,
            run: |network| Box::pin($law(network)),
        }
    };
}
pub(crate) use case;

/// Fails unless both are the same.
pub fn equal<T: PartialEq + Debug>(what: &str, seen: T, expected: T) -> Verdict {
    if seen == expected {
        return Ok(());
    }
    Err(Failure(format!("{what}: expected {expected:?}, seen {seen:?}")))
}

/// Fails unless the condition holds.
pub fn check(condition: bool, expected: impl Into<String>) -> Verdict {
    if condition {
        return Ok(());
    }
    Err(Failure(format!("expected {}", expected.into())))
}
