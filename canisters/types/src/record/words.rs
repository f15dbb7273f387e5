//! The words that bodies choose from (section 3).

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in a body.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Reads the word in a body.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Why a stage is skipped (section 3).
    SkipReason {
        /// Its `when` was false.
        Condition = "condition",
        /// A need was not met.
        Needs = "needs",
        /// A result it needs is missing.
        Results = "results",
        /// The run was ended before it.
        Ended = "ended",
    }
}

words! {
    /// How a run ends (section 3).
    Outcome {
        /// All that had to succeed did.
        Succeeded = "succeeded",
        /// Something that had to succeed did not.
        Failed = "failed",
        /// Somebody cancelled it.
        Cancelled = "cancelled",
        /// It took too long.
        TimedOut = "timed_out",
    }
}
