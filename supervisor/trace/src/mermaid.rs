//! A trace as a sequence diagram in the language of Mermaid (<https://mermaid.js.org>), for a ticket.

use crate::steps::{Step, Steps};

/// The text of a diagram.
pub fn mermaid(steps: &Steps) -> String {
    let Steps { participants, steps } = steps;
    let mut text = "sequenceDiagram\n".to_string();
    for (number, name) in participants.iter().enumerate() {
        text += &format!("    participant p{number} as {}\n", escaped(name));
    }
    for step in steps {
        let arrow = match step {
            Step { is_answer: true, is_well: false, .. } => "--x",
            Step { is_answer: true, .. } => "-->>",
            Step { is_asked: true, .. } => "->>",
            _ => "-)",
        };
        text += &format!("    p{}{arrow}p{}: {}\n", step.from, step.to, escaped(&step.text));
    }
    text
}

/// Text that means nothing to Mermaid.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '#' | ';' | ':' | '<' | '>' | '"' | '\\' => escaped += &format!("#{};", character as u32),
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}
