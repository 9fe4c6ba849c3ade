//! The languages of a repository, by the endings of its files.
//!
//! A rough count for choosing and for telling people; it reads no file.

use std::collections::HashMap;
use std::path::Path;

use super::detect::tree::Tree;

/// Endings and the languages they stand for.
const ENDINGS: &[(&str, &str)] = &[
    ("rs", "Rust"),
    ("py", "Python"),
    ("pyi", "Python"),
    ("js", "JavaScript"),
    ("jsx", "JavaScript"),
    ("mjs", "JavaScript"),
    ("cjs", "JavaScript"),
    ("ts", "TypeScript"),
    ("tsx", "TypeScript"),
    ("mts", "TypeScript"),
    ("cts", "TypeScript"),
    ("vue", "Vue"),
    ("svelte", "Svelte"),
    ("go", "Go"),
    ("java", "Java"),
    ("kt", "Kotlin"),
    ("kts", "Kotlin"),
    ("scala", "Scala"),
    ("groovy", "Groovy"),
    ("clj", "Clojure"),
    ("cs", "C#"),
    ("fs", "F#"),
    ("vb", "Visual Basic"),
    ("rb", "Ruby"),
    ("php", "PHP"),
    ("ex", "Elixir"),
    ("exs", "Elixir"),
    ("erl", "Erlang"),
    ("c", "C"),
    ("h", "C"),
    ("cc", "C++"),
    ("cpp", "C++"),
    ("cxx", "C++"),
    ("hh", "C++"),
    ("hpp", "C++"),
    ("m", "Objective-C"),
    ("mm", "Objective-C"),
    ("swift", "Swift"),
    ("dart", "Dart"),
    ("lua", "Lua"),
    ("pl", "Perl"),
    ("pm", "Perl"),
    ("t", "Perl"),
    ("sh", "Shell"),
    ("bash", "Shell"),
    ("bats", "Shell"),
    ("zig", "Zig"),
    ("hs", "Haskell"),
    ("ml", "OCaml"),
    ("mli", "OCaml"),
    ("jl", "Julia"),
    ("r", "R"),
    ("sql", "SQL"),
    ("tf", "Terraform"),
    ("sol", "Solidity"),
];

/// The languages of the repository at `root` with their numbers of files, most files first.
///
/// Folders of built and installed things (`target`, `node_modules`, `vendor`, ...) are left out, and
/// at most 20,000 files are counted.
pub fn languages(root: &Path) -> Vec<(String, usize)> {
    count(Tree::new(root).files())
}

/// Counts paths by language, most files first, then by name.
pub(super) fn count(files: &[String]) -> Vec<(String, usize)> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for file in files {
        if let Some(language) = language_of(file) {
            *counts.entry(language).or_default() += 1;
        }
    }
    let mut counts: Vec<(String, usize)> =
        counts.into_iter().map(|(language, files)| (language.to_owned(), files)).collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
}

/// The language that a path's ending stands for.
pub(super) fn language_of(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next()?;
    let ending = name.rsplit_once('.')?.1;
    ENDINGS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(ending))
        .map(|(_, language)| *language)
}

/// How many files of a plan's language there are; one test tool may serve two languages.
pub(super) fn files_of(counts: &[(String, usize)], language: &str) -> usize {
    let also = match language {
        "JavaScript" => &["TypeScript", "Vue", "Svelte"][..],
        "Java" => &["Kotlin", "Groovy"][..],
        "Kotlin" => &["Java"][..],
        "C" | "C++" => &["C", "C++"][..],
        _ => &[],
    };
    counts
        .iter()
        .filter(|(name, _)| name == language || also.contains(&name.as_str()))
        .map(|(_, files)| files)
        .sum()
}
