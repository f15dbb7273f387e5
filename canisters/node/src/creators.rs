//! Who may create canisters. Asked before a call is ordered, so it is no part of the replicated state and can be changed
//! at any start.

use ic_principal::Principal;
use std::collections::BTreeSet;
use std::str::FromStr;
use thiserror::Error;

/// See the module documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creators {
    /// Everybody, as on a development network.
    Anyone,
    /// Everybody who signs with a key.
    Signed,
    /// These and nobody else.
    Only(BTreeSet<Principal>),
}

/// A list of creators that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CreatorsError {
    /// Not a principal.
    #[error(
        "`{0}` is no principal; `anyone` and `signed` stand alone, principals have commas or lines between them"
    )]
    Malformed(String),
    /// Everybody is the anonymous principal, which a list surely does not mean.
    #[error("the anonymous principal is everybody: say `anyone`")]
    Anonymous,
    /// Nobody.
    #[error("the list of creators is empty")]
    Empty,
}

impl Creators {
    /// These and those.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        match (self, others) {
            (Self::Anyone, _) | (_, Self::Anyone) => Self::Anyone,
            (Self::Signed, _) | (_, Self::Signed) => Self::Signed,
            (Self::Only(mut these), Self::Only(those)) => {
                these.extend(those);
                Self::Only(these)
            }
        }
    }

    /// Whether somebody is among them.
    pub fn include(&self, who: &Principal) -> bool {
        match self {
            Self::Anyone => true,
            Self::Signed => *who != Principal::anonymous(),
            Self::Only(them) => them.contains(who),
        }
    }
}

impl FromStr for Creators {
    type Err = CreatorsError;

    /// Reads `anyone`, `signed`, or principals separated by commas or white space.
    fn from_str(text: &str) -> Result<Self, CreatorsError> {
        match text.trim() {
            "anyone" => return Ok(Self::Anyone),
            "signed" => return Ok(Self::Signed),
            _ => {}
        }
        let mut them = BTreeSet::new();
        for word in text
            .split(|letter: char| letter == ',' || letter.is_whitespace())
            .filter(|word| !word.is_empty())
        {
            let who = Principal::from_text(word).map_err(|_| CreatorsError::Malformed(word.to_owned()))?;
            if who == Principal::anonymous() {
                return Err(CreatorsError::Anonymous);
            }
            them.insert(who);
        }
        if them.is_empty() {
            return Err(CreatorsError::Empty);
        }
        Ok(Self::Only(them))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_who_is_meant_is_included() {
        let (one, other) = (Principal::from_slice(&[1]), Principal::from_slice(&[2]));
        let anonymous = Principal::anonymous();
        for (text, expected) in [
            ("anyone".to_owned(), [true, true, true]),
            ("signed\n".to_owned(), [true, true, false]),
            (one.to_text(), [true, false, false]),
            (format!("{one}, {other}\n"), [true, true, false]),
        ] {
            let creators: Creators = text.parse().unwrap();
            assert_eq!(
                [one, other, anonymous].map(|who| creators.include(&who)),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn two_lists_include_whom_either_includes() {
        let [one, other] = [1, 2].map(|byte| Principal::from_slice(&[byte]));
        let only = |who| Creators::Only(BTreeSet::from([who]));
        for (a, b, expected) in [
            (only(one), only(other), [true, true, false]),
            (only(one), Creators::Signed, [true, true, true]),
            (only(one), only(one), [true, false, false]),
        ] {
            let third = Principal::from_slice(&[3]);
            for both in [a.clone().and(b.clone()), b.and(a)] {
                assert_eq!(
                    [one, other, third].map(|who| both.include(&who)),
                    expected,
                    "{both:?}"
                );
            }
        }
    }

    #[test]
    fn a_list_that_means_nobody_or_everybody_is_refused() {
        assert_eq!("".parse::<Creators>(), Err(CreatorsError::Empty));
        assert_eq!("2vxsx-fae".parse::<Creators>(), Err(CreatorsError::Anonymous));
        assert!(matches!(
            "me".parse::<Creators>(),
            Err(CreatorsError::Malformed(_))
        ));
    }
}
