//! Cuts a unified diff of git's into files and hunks, and each hunk into the text before and after.
//!
//! Knows the format and nothing of tests. Lines inside a hunk are counted by its heading, so that text
//! which looks like a heading is not taken for one.

/// What a diff says of one file.
#[derive(Debug, Default)]
pub(super) struct FileDiff<'d> {
    pub(super) old_path: String,
    pub(super) new_path: String,
    pub(super) deleted: bool,
    pub(super) hunks: Vec<Hunk<'d>>,
}

/// A hunk as it was and as it is; lines that did not change stand on both sides.
#[derive(Debug, Default)]
pub(super) struct Hunk<'d> {
    pub(super) old: Vec<&'d str>,
    pub(super) new: Vec<&'d str>,
}

/// Reads all files of a diff. Text around it (a commit message) is passed over.
pub(super) fn parse(diff: &str) -> Vec<FileDiff<'_>> {
    let mut files: Vec<FileDiff<'_>> = Vec::new();
    let mut old_left = 0_usize;
    let mut new_left = 0_usize;
    for line in diff.lines() {
        if old_left + new_left > 0 {
            if let Some(hunk) = files.last_mut().and_then(|file| file.hunks.last_mut()) {
                content(hunk, line, &mut old_left, &mut new_left);
            }
        } else if let Some(counts) = line.strip_prefix("@@ ").and_then(hunk_counts) {
            if let Some(file) = files.last_mut() {
                (old_left, new_left) = counts;
                file.hunks.push(Hunk::default());
            }
        } else {
            header(&mut files, line);
        }
    }
    files
}

fn content<'d>(hunk: &mut Hunk<'d>, line: &'d str, old_left: &mut usize, new_left: &mut usize) {
    let mut rest = line.chars();
    let sign = rest.next();
    let text = rest.as_str().trim_end_matches('\r');
    match sign {
        Some('-') => {
            hunk.old.push(text);
            *old_left = old_left.saturating_sub(1);
        }
        Some('+') => {
            hunk.new.push(text);
            *new_left = new_left.saturating_sub(1);
        }
        // `\ No newline at end of file` is not counted.
        Some('\\') => {}
        // Some tools drop the blank in front of an empty line.
        _ => {
            hunk.old.push(text);
            hunk.new.push(text);
            *old_left = old_left.saturating_sub(1);
            *new_left = new_left.saturating_sub(1);
        }
    }
}

/// `-12,7 +12,9 @@ fn context()`
fn hunk_counts(line: &str) -> Option<(usize, usize)> {
    let (ranges, _) = line.split_once(" @@")?;
    let (old, new) = ranges.split_once(' ')?;
    let count = |range: &str| match range.split_once(',') {
        Some((_, count)) => count.parse().ok(),
        None => Some(1),
    };
    Some((count(old.strip_prefix('-')?)?, count(new.strip_prefix('+')?)?))
}

fn header(files: &mut Vec<FileDiff<'_>>, line: &str) {
    if let Some(paths) = line.strip_prefix("diff --git ") {
        let (old_path, new_path) = git_paths(paths);
        files.push(FileDiff { old_path, new_path, ..FileDiff::default() });
        return;
    }
    // A plain `diff -u` has no line of git's; a further file begins where the last has its hunks.
    let plain = files.last().is_none_or(|file| !file.hunks.is_empty());
    if plain && line.starts_with("--- ") {
        files.push(FileDiff::default());
    }
    let Some(file) = files.last_mut() else { return };
    if line.starts_with("deleted file mode ") {
        file.deleted = true;
    } else if let Some(path) = line.strip_prefix("rename from ") {
        file.old_path = unquoted(path);
    } else if let Some(path) = line.strip_prefix("rename to ") {
        file.new_path = unquoted(path);
    } else if let Some(path) = line.strip_prefix("--- ") {
        if let Some(path) = side_path(path, "a/") {
            file.old_path = path;
        }
    } else if let Some(path) = line.strip_prefix("+++ ") {
        match side_path(path, "b/") {
            Some(path) => file.new_path = path,
            None => file.deleted = true,
        }
    }
}

/// The path of a `---` or `+++` line, `None` for a file that does not exist on that side.
fn side_path(path: &str, prefix: &str) -> Option<String> {
    // A time stamp may follow after a tab.
    let path = unquoted(path.split('\t').next().unwrap_or(path));
    if path == "/dev/null" {
        return None;
    }
    Some(path.strip_prefix(prefix).map(str::to_owned).unwrap_or(path))
}

/// `a/src/x.rs b/src/x.rs`. The names may hold blanks; without a rename both are the same, and a rename
/// has lines of its own.
fn git_paths(paths: &str) -> (String, String) {
    let both = |path: &str| {
        let path = path.strip_prefix("a/").unwrap_or(path).to_owned();
        (path.clone(), path)
    };
    if let Some(quoted) = paths.strip_prefix('"') {
        let path = quoted.split_once("\" ").map_or(quoted, |(path, _)| path);
        return both(&unquoted(&format!("\"{path}\"")));
    }
    let half = paths.len() / 2;
    match (paths.get(..half), paths.get(half + 1..)) {
        (Some(old), Some(new)) if old.strip_prefix("a/") == new.strip_prefix("b/") => both(old),
        _ => both(paths.split(" b/").next().unwrap_or(paths)),
    }
}

/// Takes git's quotes off a path: `"caf\303\251.py"`.
fn unquoted(path: &str) -> String {
    let Some(inner) = path.strip_prefix('"').and_then(|path| path.strip_suffix('"')) else {
        return path.to_owned();
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(digit @ b'0'..=b'7') => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    let Some(digit) = rest.next_if(|byte| (b'0'..=b'7').contains(byte)) else {
                        break;
                    };
                    value = value * 8 + u32::from(digit - b'0');
                }
                bytes.push(u8::try_from(value).unwrap_or(b'?'));
            }
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
