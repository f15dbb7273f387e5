//! A question to whoever sits at the terminal.

use std::io::{BufRead, Write as _};

use crate::exit::Failure;

/// What is given instead of an answer where nobody sits at a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// Yes.
    Yes,
    /// The root key, which somebody would have to compare otherwise, and yes.
    RootKey,
}

/// Asks, where there is somebody to ask; `verb` says what `--yes` does without a question.
pub fn confirmed(
    question: &str,
    verb: &str,
    terminal: bool,
    input: &mut impl BufRead,
) -> Result<bool, Failure> {
    confirmed_or(question, verb, Instead::Yes, terminal, input)
}

/// The same where something besides `--yes` may be needed without a question.
pub fn confirmed_or(
    question: &str,
    verb: &str,
    instead: Instead,
    terminal: bool,
    input: &mut impl BufRead,
) -> Result<bool, Failure> {
    if !terminal {
        return Err(Failure::usage(match instead {
            Instead::Yes => format!("there is nobody to ask; give --yes to {verb} without a question"),
            Instead::RootKey => format!(
                "there is nobody who could compare the root key that the network names; give --root-key HEX as the network's owner tells you (`dcanary-node` writes it into its ready file), and --yes to {verb} without a question"
            ),
        }));
    }
    let mut err = std::io::stderr();
    let _ = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
    let mut answer = String::new();
    input
        .read_line(&mut answer)
        .map_err(|source| Failure::cannot_tell(format!("cannot read the answer: {source}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn without_a_terminal_nothing_is_done_unless_yes_is_given() {
        let failure = confirmed("Pin this?", "pin", false, &mut &b"y\n"[..]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("--yes to pin"), "{failure}");
        let unseen = confirmed_or("Pin this?", "pin", Instead::RootKey, false, &mut &b"y\n"[..]).unwrap_err();
        let (key, yes) = (
            unseen.message.find("--root-key HEX"),
            unseen.message.find("--yes to pin"),
        );
        assert!(key.is_some() && key < yes, "the safe way comes first: {unseen}");
        for (answer, yes) in [
            ("y\n", true),
            ("yes\n", true),
            ("\n", false),
            ("", false),
            ("no\n", false),
        ] {
            let asked = confirmed("Pin this?", "pin", true, &mut answer.as_bytes());
            assert_eq!(asked, Ok(yes), "{answer:?}");
        }
    }
}
