//! Tables without lines, as `kubectl` prints them. Escapes take no room.

const GAP: &str = "   ";

/// Heading and rows, columns three spaces apart, no spaces at the ends of lines.
pub fn table(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    let heading = heading.iter().map(|title| (*title).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| width(cell))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, column)| format!("{cell}{}", " ".repeat(column - width(cell))))
            .collect();
        text.push_str(cells.join(GAP).trim_end());
        text.push('\n');
    }
    text
}

/// Characters that are seen: all but escape sequences.
fn width(cell: &str) -> usize {
    let mut hidden = false;
    cell.chars()
        .filter(|c| match (*c, hidden) {
            ('\u{1b}', _) => {
                hidden = true;
                false
            }
            ('m', true) => {
                hidden = false;
                false
            }
            (_, hidden) => !hidden,
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_space() {
        let rows = vec![
            vec!["a-long-name".into(), "3s".into()],
            vec!["b".into(), "12m".into()],
        ];
        assert_eq!(
            table(&["NAME", "AGE"], rows),
            "NAME          AGE\na-long-name   3s\nb             12m\n"
        );
    }

    #[test]
    fn colours_take_no_room() {
        let rows = vec![vec!["\u{1b}[32m✔\u{1b}[0m ok".into(), "x".into()]];
        assert_eq!(
            table(&["ST", "A"], rows),
            "ST     A\n\u{1b}[32m✔\u{1b}[0m ok   x\n"
        );
    }
}
