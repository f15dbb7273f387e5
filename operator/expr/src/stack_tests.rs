#![allow(clippy::unwrap_used)]

use crate::Condition;

#[test]
fn the_deepest_expressions_are_parsed_on_half_of_what_a_thread_has() {
    // 2 MiB as it is shipped; without optimisation each level takes many times as much
    let half = if cfg!(debug_assertions) { 16 } else { 1 } << 20;
    for (open, middle, close) in [
        ("(", "true", ")"),
        ("!(", "true", ")"),
        ("(1+", "1", ") == 1"),
        ("[", "1", "] == []"),
        ("{1:", "1", "} == {}"),
        ("size(", "'a'", ") == 1"),
        ("[1].all(x,", "true", ")"),
        ("(true?", "true", ":false)"),
    ] {
        let (close, end) = close.split_at(close.find(' ').unwrap_or(close.len()));
        let deepest =
            move |depth: usize| format!("{}{middle}{}{end}", open.repeat(depth), close.repeat(depth));
        let parsed = std::thread::Builder::new().stack_size(half).spawn(move || {
            let taken = (1..=65)
                .rev()
                .find(|depth| Condition::parse(&deepest(*depth)).is_ok());
            assert!(taken.is_some_and(|depth| depth >= 16), "{open}: {taken:?}");
        });
        parsed.unwrap().join().unwrap();
    }
}
