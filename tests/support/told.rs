//! What a command comes to: its exit code, and words of what it says.

/// Checks both.
///
/// # Panics
/// If the code is another one, or a word is missing.
#[track_caller]
pub fn tells((code, said): (Option<i32>, String), expected: i32, words: &[&str]) {
    assert_eq!(code, Some(expected), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
}
