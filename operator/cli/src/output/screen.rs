//! A drawing on a terminal that is drawn anew again and again.

use std::io::stdout;

/// The terminal goes on at its edge, as it does for everybody else.
const WRAP: &str = "\u{1b}[?7h";
/// What is longer than the terminal is wide is not shown: a line takes one row, so that the way back up is known.
const CUT: &str = "\u{1b}[?7l";

/// What is drawn, and how much of the screen the last drawing took.
#[derive(Debug, Default)]
pub struct Screen {
    drawn: usize,
    text: String,
}

impl Screen {
    /// What replaces the last drawing by this one, on a terminal of so many rows. Of a longer drawing its end is shown, because nobody
    /// can go up beyond the first row.
    pub fn draw(&mut self, text: String, rows: Option<usize>) -> String {
        let up = self.up(rows);
        let lines = text.lines().count();
        // the last row is for the cursor
        self.drawn = rows.map_or(lines, |rows| lines.min(rows.saturating_sub(1)));
        let shown: String = text.split_inclusive('\n').skip(lines - self.drawn).collect();
        self.text = text;
        format!("{up}{CUT}{shown}{WRAP}")
    }

    /// What leaves the last drawing whole: nothing is drawn any more.
    pub fn end(self, rows: Option<usize>) -> String {
        if self.text.is_empty() {
            return String::new();
        }
        format!("{}{}", self.up(rows), self.text)
    }

    /// Clears from the top of the last drawing to the end of the screen.
    fn up(&self, rows: Option<usize>) -> String {
        // in a terminal that was made smaller the rest has left the screen
        let drawn = rows.map_or(self.drawn, |rows| self.drawn.min(rows.saturating_sub(1)));
        if drawn == 0 {
            String::new()
        } else {
            format!("\u{1b}[{drawn}F\u{1b}[J")
        }
    }
}

/// Rows of the terminal that standard output is.
pub fn rows() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stdout()).ok()?;
    Some(usize::from(size.ws_row)).filter(|rows| *rows > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As much of a terminal as a drawing uses: a grid, of which what is scrolled out is kept.
    struct Terminal {
        rows: usize,
        columns: usize,
        lines: Vec<String>,
        /// Line and column of the cursor.
        at: (usize, usize),
        wrap: bool,
    }

    impl Terminal {
        fn new(rows: usize, columns: usize) -> Self {
            Self {
                rows,
                columns,
                lines: vec![String::new()],
                at: (0, 0),
                wrap: true,
            }
        }

        fn top(&self) -> usize {
            self.lines.len().saturating_sub(self.rows)
        }

        fn write(&mut self, text: &str) {
            let mut rest = text;
            while let Some(letter) = rest.chars().next() {
                rest = &rest[letter.len_utf8()..];
                if letter == '\u{1b}' {
                    let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                    self.control(&rest[1..=end]);
                    rest = &rest[end + 1..];
                } else if letter == '\n' {
                    self.newline();
                } else {
                    self.put(letter);
                }
            }
        }

        fn control(&mut self, sequence: &str) {
            match sequence {
                "?7l" => self.wrap = false,
                "?7h" => self.wrap = true,
                "J" => {
                    self.lines.truncate(self.at.0 + 1);
                    self.lines[self.at.0] = self.lines[self.at.0].chars().take(self.at.1).collect();
                }
                up => {
                    let by: usize = up.strip_suffix('F').unwrap().parse().unwrap();
                    self.at = (self.at.0.saturating_sub(by).max(self.top()), 0);
                }
            }
        }

        fn newline(&mut self) {
            self.at = (self.at.0 + 1, 0);
            if self.at.0 == self.lines.len() {
                self.lines.push(String::new());
            }
        }

        fn put(&mut self, letter: char) {
            if self.at.1 == self.columns {
                if self.wrap {
                    self.newline();
                } else {
                    self.at.1 -= 1;
                }
            }
            let mut line: Vec<char> = self.lines[self.at.0].chars().collect();
            line.truncate(self.at.1);
            line.push(letter);
            self.lines[self.at.0] = line.into_iter().collect();
            self.at.1 += 1;
        }
    }

    fn drawing(name: char, lines: usize, long: usize) -> String {
        let line = |line: usize| format!("{name}{line}{}\n", "x".repeat(long));
        (0..lines).map(line).collect()
    }

    #[test]
    fn whatever_is_too_long_or_too_tall_each_drawing_replaces_the_one_before() {
        for (rows, columns, lines, long) in [
            (24, 80, 5, 10),
            (24, 20, 5, 70),
            (6, 80, 30, 10),
            (6, 20, 30, 70),
            (6, 80, 5, 3),
            (6, 80, 6, 3),
        ] {
            let mut terminal = Terminal::new(rows, columns);
            let mut screen = Screen::default();
            terminal.write("$ watch\n");
            for (round, name) in ('A'..'H').enumerate() {
                terminal.write(&screen.draw(drawing(name, lines + round % 2, long), Some(rows)));
                let shown = terminal.lines.join("\n");
                assert!(
                    shown.starts_with("$ watch\n") && ('A'..name).all(|old| !shown.contains(old)),
                    "{rows} rows, {columns} columns, drawing {name}:\n{shown}"
                );
                assert!(terminal.wrap, "others may write");
                assert_eq!(terminal.lines.last().map(String::as_str), Some(""));
            }
            let last = drawing('Z', lines, 0);
            terminal.write(&screen.draw(drawing('Z', lines, 0), Some(rows)));
            terminal.write(&screen.end(Some(rows)));
            assert_eq!(terminal.lines.join("\n"), format!("$ watch\n{last}"));
        }
    }

    #[test]
    fn of_a_drawing_that_is_too_tall_the_end_is_shown() {
        let mut terminal = Terminal::new(4, 80);
        terminal.write(&Screen::default().draw(drawing('a', 9, 0), Some(4)));
        assert_eq!(terminal.lines, ["a6", "a7", "a8", ""]);
    }

    #[test]
    fn a_terminal_that_was_made_smaller_is_not_gone_up_beyond() {
        let mut screen = Screen::default();
        screen.draw(drawing('a', 20, 0), Some(30));
        assert!(
            screen
                .draw(drawing('b', 20, 0), Some(10))
                .starts_with("\u{1b}[9F\u{1b}[J")
        );
        assert!(screen.end(Some(5)).starts_with("\u{1b}[4F\u{1b}[J"));
    }

    #[test]
    fn where_nothing_was_drawn_nothing_is_left() {
        assert_eq!(Screen::default().end(Some(9)), "");
    }
}
