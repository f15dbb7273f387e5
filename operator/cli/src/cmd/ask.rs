//! A question to whoever sits at the terminal.

use std::io::{BufRead, Write as _};

use crate::exit::Failure;

/// Asks, where there is somebody to ask; `verb` says what `--yes` does without a question.
pub fn confirmed(
    question: &str,
    verb: &str,
    terminal: bool,
    input: &mut impl BufRead,
) -> Result<bool, Failure> {
    if !terminal {
        return Err(Failure::usage(format!(
            "there is nobody to ask; give --yes to {verb} without a question"
        )));
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
