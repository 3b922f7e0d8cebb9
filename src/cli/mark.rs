//! What is wrong in a text, marked where it is made and coloured where it is printed: on a terminal, and nowhere else.

/// Begins what is wrong. This and the next two are noncharacters of Unicode: no text of anybody's has them.
const WRONG: char = '\u{fdd0}';
/// Begins what should be looked at.
const DOUBTFUL: char = '\u{fdd1}';
/// Ends either.
const END: char = '\u{fdd2}';

/// What is wrong: it does not work.
pub fn wrong(text: &str) -> String {
    marked(WRONG, text)
}

/// What should be looked at: it works, or will, but not as it should.
pub fn doubtful(text: &str) -> String {
    marked(DOUBTFUL, text)
}

fn marked(mark: char, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{mark}{text}{END}") }
}

/// Characters that are seen: marks take no place.
pub fn width(text: &str) -> usize {
    text.chars().filter(|c| !is_mark(*c)).count()
}

/// The text with colours in the place of its marks, or without any.
pub fn painted(text: &str, is_coloured: bool) -> String {
    let mut painted = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if !is_mark(c) => painted.push(c),
            _ if !is_coloured => {}
            WRONG => painted.push_str("\u{1b}[1;31m"),
            DOUBTFUL => painted.push_str("\u{1b}[33m"),
            _ => painted.push_str("\u{1b}[0m"),
        }
    }
    painted
}

fn is_mark(c: char) -> bool {
    matches!(c, WRONG | DOUBTFUL | END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_colours_or_nothing_and_take_no_place() {
        let text = format!("{} and {}", wrong("down"), doubtful("late"));
        assert_eq!(painted(&text, false), "down and late");
        assert_eq!(painted(&text, true), "\u{1b}[1;31mdown\u{1b}[0m and \u{1b}[33mlate\u{1b}[0m");
        assert_eq!((width(&text), wrong("")), (13, String::new()));
    }
}
