//! Resources of a stage: quantities, and no request above its limit, with which the API server takes no Pod.

use dcanary_crds::Resources;

use super::Context;

/// So much may two spellings of one quantity differ as numbers.
const ROUNDING: f64 = 1e-9;

pub(super) fn check(context: &mut Context<'_>, path: &str, resources: &Resources) {
    for (list, values) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        for (name, value) in values {
            if quantity(value).is_none() {
                context.tell(
                    format!("{path}.{list}.{name}"),
                    format!("`{value}` is no quantity, write for example 500m, 2 or 1Gi"),
                );
            }
        }
    }
    for (name, request) in &resources.requests {
        let Some(limit) = resources.limits.get(name) else {
            continue;
        };
        if let (Some(asked), Some(most)) = (quantity(request), quantity(limit))
            && asked > most * (1.0 + ROUNDING)
        {
            context.tell(
                format!("{path}.requests.{name}"),
                format!("`{request}` is more than the limit `{limit}`: raise the limit, or request no more than it"),
            );
        }
    }
}

/// The value of a Kubernetes quantity: a decimal number and a suffix.
fn quantity(text: &str) -> Option<f64> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some(number.parse::<f64>().ok()? * factor(suffix)?)
}

fn factor(suffix: &str) -> Option<f64> {
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.trim_start_matches(['+', '-']).parse::<u8>().ok()?;
            let sign = if exponent.starts_with('-') { -1 } else { 1 };
            10_f64.powi(sign * i32::from(digits))
        }
    };
    Some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_a_number_with_a_suffix() {
        for (text, value) in [
            ("500m", 0.5),
            ("2", 2.0),
            ("1.5Gi", 1.5 * 1024.0 * 1024.0 * 1024.0),
            (".5", 0.5),
            ("1.", 1.0),
            ("1e3", 1000.0),
            ("1E+3", 1000.0),
            ("12e-1", 1.2),
            ("1E", 1e18),
        ] {
            let read = quantity(text);
            assert!(
                read.is_some_and(|read| (read / value - 1.0).abs() < ROUNDING),
                "{text}: {read:?}"
            );
        }
        for text in ["", ".", "1.2.3", "1 GB", "-1", "5x", "1e", "1e999", "mi"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }
}
