//! The repository's files, and Rust text without comments, strings and tests.

use std::path::Path;
use std::sync::OnceLock;

use super::Breach;
use crate::support::repository;

/// A set of text files.
pub struct Files(Vec<File>);

/// One text file.
pub struct File {
    /// Relative to the repository.
    pub path: String,
    pub text: String,
    /// For Rust: the text with comments and the contents of strings blanked, line for line.
    code: OnceLock<String>,
    /// As `code`, with the items under `#[cfg(test)]` blanked too.
    shipped: OnceLock<String>,
    /// Whether the whole file is tests.
    is_test: bool,
}

impl Files {
    /// All text files that belong to the repository.
    pub fn of_repository() -> &'static Self {
        static FILES: OnceLock<Files> = OnceLock::new();
        FILES.get_or_init(|| {
            let mut files = Vec::new();
            collect(repository(), &mut files);
            files.sort_by(|a, b| a.path.cmp(&b.path));
            assert!(files.iter().any(|f| f.path == "supervisor/src/lib.rs"), "the source was not found");
            Self::marked(files)
        })
    }

    /// Samples, as (path, text).
    pub fn of(samples: &[(&str, &str)]) -> Self {
        Self::marked(samples.iter().map(|(path, text)| File::new(path.to_string(), text.to_string())).collect())
    }

    /// Marks the files of modules that are declared under `#[cfg(test)]`.
    fn marked(mut files: Vec<File>) -> Self {
        let tests: Vec<String> = files.iter().flat_map(test_modules).collect();
        for file in &mut files {
            let module = file.path.trim_end_matches(".rs").trim_end_matches("/mod");
            file.is_test |= tests.iter().any(|t| module == t || module.starts_with(&format!("{t}/")));
        }
        Self(files)
    }

    pub fn all(&self) -> impl Iterator<Item = &File> {
        self.0.iter()
    }

    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.named(".rs")
    }

    pub fn manifests(&self) -> impl Iterator<Item = &File> {
        self.0.iter().filter(|f| f.path == "Cargo.toml" || f.path.ends_with("/Cargo.toml"))
    }

    pub fn named(&self, ending: &str) -> impl Iterator<Item = &File> {
        self.0.iter().filter(move |f| f.path.ends_with(ending))
    }

    pub fn get(&self, path: &str) -> Option<&File> {
        self.0.iter().find(|f| f.path == path)
    }

    /// Whether there is a file of that path, or below it.
    pub fn holds(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.0.iter().any(|f| f.path == path || f.path.starts_with(&folder))
    }
}

impl File {
    fn new(path: String, text: String) -> Self {
        // A conformance suite is behind a feature that only tests set.
        let folders = ["/tests/", "/benches/", "/conformance/", "/conformance.rs"];
        let is_test = path.starts_with("tests/") || folders.iter().any(|folder| path.contains(folder));
        Self { path, text, code: OnceLock::new(), shipped: OnceLock::new(), is_test }
    }

    /// The lines of code, numbered from 1.
    pub fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(self.code.get_or_init(|| without_comments(&self.text)))
    }

    /// The lines of code that are not tests, numbered from 1.
    pub fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(self.shipped_text())
    }

    pub fn shipped_text(&self) -> &str {
        self.shipped.get_or_init(|| match self.is_test() {
            true => String::new(),
            false => without_tests(self.code.get_or_init(|| without_comments(&self.text))),
        })
    }

    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(&self.text)
    }

    pub fn breach(&self, line: usize, what: impl Into<String>) -> Breach {
        Breach { path: self.path.clone(), line, what: what.into() }
    }

    pub fn is_test(&self) -> bool {
        self.is_test
    }
}

/// The modules that a file declares under `#[cfg(test)]`, as paths without an ending.
fn test_modules(file: &File) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or_default();
    let inside = match name.trim_end_matches(".rs") {
        "mod" | "lib" | "main" => folder.to_string(),
        module => format!("{folder}/{module}"),
    };
    let declared = file.text.split("#[cfg(test)]").skip(1).filter_map(|after| {
        let item = after.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        item.strip_prefix("mod ")?.split_once(';').map(|(name, _)| name)
    });
    declared.filter(|name| name.chars().all(is_name)).map(|name| format!("{inside}/{name}")).collect()
}

/// The number of the line in which the byte at `offset` is.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Whether a character can be part of a name.
pub fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The places where a whole name occurs: `actix` is not in `actix_web`.
pub fn names_in<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

/// The offset just behind the bracket that closes the one at `open`.
pub fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(open + at + 1);
        }
    }
    None
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn collect(directory: &Path, files: &mut Vec<File>) {
    let entries = std::fs::read_dir(directory).expect("the repository can be read");
    for entry in entries.map(|e| e.expect("the repository can be read")) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let is_text = [".rs", ".toml", ".md", ".sh", ".yml", ".sql", ".json", "Makefile", "run"];
        if path.is_dir() {
            // What builds and runs leave, and git's own.
            if !matches!(name.as_str(), "target" | "data" | ".git" | "node_modules") {
                collect(&path, files);
            }
        } else if is_text.iter().any(|ending| name.ends_with(ending))
            && let Ok(text) = std::fs::read_to_string(&path)
        {
            let relative = path.strip_prefix(repository()).expect("it is below the repository");
            files.push(File::new(relative.to_string_lossy().into_owned(), text));
        }
    }
}

/// Rust text with comments and the contents of strings and characters blanked; lines stay where they are.
pub fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let behind_name = code.chars().next_back().is_some_and(is_name);
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = string(rest, behind_name) {
            code.push('"');
            blank(&rest[1..length], &mut code);
            code.push('"');
            rest = &rest[length..];
            continue;
        } else if c == '\'' {
            character(rest)
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        blank(&rest[..length], &mut code);
        rest = &rest[length..];
    }
    code
}

/// Keeps the line breaks of what is left out.
fn blank(text: &str, code: &mut String) {
    code.extend(text.chars().filter(|c| *c == '\n'));
}

/// The length of a comment that may hold others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a string literal of any kind, if the text begins with one.
fn string(text: &str, behind_name: bool) -> Option<usize> {
    let prefix = text.find('"')?;
    let (marks, hashes) = text[..prefix].split_at(text[..prefix].find('#').unwrap_or(prefix));
    if !hashes.chars().all(|c| c == '#') || !matches!(marks, "" | "b" | "c" | "r" | "br" | "cr") {
        return None;
    }
    if behind_name && !text[..prefix].is_empty() {
        return None;
    }
    let body = &text[prefix + 1..];
    if marks.ends_with('r') {
        let end = format!("\"{hashes}");
        return Some(prefix + 1 + body.find(&end).map_or(body.len(), |at| at + end.len()));
    }
    if !hashes.is_empty() {
        return None;
    }
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix + 1 + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// The length of a character literal, or of the mark that begins a lifetime.
fn character(text: &str) -> usize {
    let mut body = text[1..].char_indices();
    match body.next() {
        Some((_, '\\')) => 1 + text[1..].char_indices().skip(2).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        Some((_, c)) if text[1 + c.len_utf8()..].starts_with('\'') => 2 + c.len_utf8(),
        _ => 1,
    }
}

/// Code with the items under `#[cfg(test)]` blanked; lines stay where they are.
fn without_tests(code: &str) -> String {
    let mut shipped = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        shipped.push_str(&rest[..at]);
        let item = &rest[at..];
        let body = item.find(['{', ';']).filter(|end| item[*end..].starts_with('{'));
        let end = match body {
            Some(open) => closing(item, open).unwrap_or(item.len()),
            None => item.find(';').map_or(item.len(), |end| end + 1),
        };
        blank(&item[..end], &mut shipped);
        rest = &item[end..];
    }
    shipped.push_str(rest);
    shipped
}

#[test]
fn comments_and_strings_are_blanked_and_lines_stay() {
    let text = "let a = \"unsafe \\\" {\"; // unsafe\nlet b = r#\"un\"safe\"#; /* a /* b */\n c */ let c = '{';\nf::<'a>(b'x', '\\'')";
    let code = without_comments(text);
    assert!(!code.contains("unsafe") && !code.contains('{'), "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(code.ends_with("f::<a>(b, )"), "{code}");
}

#[test]
fn tests_are_not_shipped_and_what_follows_them_is() {
    let file = File::new("a.rs".into(), "a();\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nc();\n".into());
    let shipped: Vec<_> = file.shipped().filter(|(_, line)| !line.is_empty()).collect();
    assert_eq!(shipped, [(1, "a();"), (6, "c();")]);
}

#[test]
fn a_module_declared_for_tests_is_not_shipped() {
    let declared = "mod b;\n#[cfg(test)]\nmod c;\n#[cfg(test)]\nmod d {\n    mod e;\n}\n";
    let files = Files::of(&[("x/src/a.rs", declared), ("x/src/a/b.rs", "f();"), ("x/src/a/c.rs", "f();")]);
    let tests: Vec<_> = files.all().filter(|f| f.is_test()).map(|f| f.path.as_str()).collect();
    assert_eq!(tests, ["x/src/a/c.rs"]);
}

#[test]
fn a_name_is_found_whole() {
    assert_eq!(names_in("actix_web actix::A reactix actix", "actix").collect::<Vec<_>>(), [10, 27]);
}
