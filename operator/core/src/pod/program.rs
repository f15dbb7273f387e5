//! What Linux gives a program at its start: a script whose variables are too large does not begin, and says no more than "Argument list too
//! long". So this is looked at before there is a Pod.

use std::collections::BTreeMap;

use dcanary_protocol::plan::{Action, Plan};

use crate::plan::{PlanError, STRING_BYTES};

/// Arguments and variables of a program. Linux takes a quarter of the limit of the stack, which is 8 MiB; what is left out here is for
/// variables of the image and from Secrets, which nobody knows before the Pod runs.
const PROGRAM_BYTES: usize = 2 * 1024 * 1024 - 128 * 1024;
/// The equals sign and the zero byte of a variable.
const STRING: usize = 2;
/// Its address, which counts too.
const POINTER: usize = 8;

const FIX: &str = "shorten what is long, or hand it on as an artifact";

/// Whether every `run` step can start with its variables.
///
/// # Errors
/// When one cannot, by the name of the step and the variable.
pub(super) fn check(plan: &Plan) -> Result<(), PlanError> {
    for (index, step) in plan.steps.iter().enumerate() {
        let Action::Run { shell, .. } = &step.action else {
            continue;
        };
        // as the runner does it: those of the step over those of the stage
        let all = plan.env.iter().chain(&step.env);
        let variables: BTreeMap<&str, usize> = all
            .map(|var| (var.name.as_str(), var.name.len() + var.value.len() + STRING))
            .collect();
        let Some((largest, bytes)) = variables.iter().max_by_key(|(_, bytes)| **bytes) else {
            continue;
        };
        if *bytes > STRING_BYTES {
            return Err(refused(format!(
                "steps[{index}].run: variable `{largest}` takes {bytes} bytes, at most {STRING_BYTES} can be given to a program: {FIX}"
            )));
        }
        let words = shell.iter().map(|word| word.len() + STRING);
        let sum: usize = variables
            .values()
            .copied()
            .chain(words)
            .map(|bytes| bytes + POINTER)
            .sum();
        if sum > PROGRAM_BYTES {
            return Err(refused(format!(
                "steps[{index}].run: parameters, results and `env` of this step take {sum} bytes as variables, at most {PROGRAM_BYTES} can be given to a program; the largest is `{largest}`: {FIX}"
            )));
        }
    }
    Ok(())
}

fn refused(message: String) -> PlanError {
    PlanError::Refused {
        reason: "EnvironmentTooLarge",
        message,
    }
}
