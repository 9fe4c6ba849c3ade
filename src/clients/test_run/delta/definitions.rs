//! Where a piece of source defines tests and where it disables them, language by language.
//!
//! Works on pieces of files, a few lines around a change: it knows lines and names, and parses nothing.
//! To add a language: its patterns and its line in `dialect`.

use regex::Regex;

use crate::clients::test_run::text::patterns;

/// Tests by name, and marks that disable tests.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) tests: Vec<String>,
    pub(super) marks: Vec<String>,
}

impl Found {
    pub(super) fn extend(&mut self, other: Found) {
        self.tests.extend(other.tests);
        self.marks.extend(other.marks);
    }
}

/// How a language writes tests.
struct Dialect {
    /// A line that defines a test by itself; its name is the last group that took part.
    test: Option<&'static Regex>,
    /// A line above a function that makes it a test.
    attribute: Option<&'static Regex>,
    /// A function with its name, for the attribute above it.
    function: Option<&'static Regex>,
    /// What disables a test, or all others.
    skip: &'static Regex,
}

patterns! {
    RUST_TEST = r"^#\[(?:\w+::)*(?:test|rstest|test_case|quickcheck|test_log|wasm_bindgen_test|proptest)\b";
    RUST_FN = r"\bfn\s+(\w+)";
    RUST_SKIP = r"#\[ignore\b|#\[cfg_attr\(.*\bignore\b";
    PYTHON_TEST = r"^(?:async\s+)?def\s+(test\w*)\s*\(";
    PYTHON_SKIP = r"@(?:pytest\.mark|unittest|mark)\.(?:skip|xfail|expectedFailure)|^@skip(?:If|Unless)?\b|pytest\.(?:skip|xfail|importorskip)\(|\bpytestmark\s*=.*\b(?:skip|xfail)|\.skipTest\(|\bSkipTest\b";
    JS_TEST = r#"^(?:await\s+)?(?:(?:Deno\.)?[xf]?(?:it|test|specify|scenario)|testWidgets)(?:\.\w+)*\s*(?:\(|<|`|\$)\s*(?:["'`](.*?)["'`])?"#;
    JS_SKIP = r#"^(?:await\s+)?(?:Deno\.)?(?:x(?:it|test|specify|describe|context)\b|f(?:it|describe|context)\b|(?:it|test|specify|describe|context|suite|scenario)(?:\.\w+)*\.(?:skip|skipIf|todo|fixme|failing|only|ignore)\b)|\b(?:this|t|ctx|context)\.skip\(|\b(?:skip|ignore|todo)\s*:\s*(?:true|["'`])"#;
    GO_TEST = r"^func\s+((?:Test|Fuzz|Example)\w*)\s*\(";
    GO_SKIP = r"\b[tbf]\.Skip(?:f|Now)?\(|^//go:build\s+(?:ignore|never)";
    JVM_TEST = r"^@(?:Test|ParameterizedTest|RepeatedTest|TestFactory|TestTemplate|Theory)\b";
    JVM_FN = r"\bfun\s+(`[^`]+`|\w+)\s*\(|\b(\w+)\s*\([^;]*$";
    JVM_SKIP = r"^@(?:Disabled\w*|Ignore)\b|\bassumeTrue\(\s*false|enabled\s*=\s*false";
    SCALA_TEST = r#"^(?:test|it|scenario)\s*\(\s*"(.*?)"|^"(.*?)"\s+(?:should|must|in)\b"#;
    CS_TEST = r"^\[(?:.*\b)?(?:Test|Fact|Theory|TestMethod|DataTestMethod|TestCase|TestCaseSource)\b";
    CS_FN = r"\b(\w+)\s*(?:<[^>]*>)?\([^;]*$";
    CS_SKIP = r"^\[.*(?:\bIgnore\b|\bSkip\s*=|\bExplicit\b)|\bAssert\.(?:Ignore|Inconclusive|Skip)\(";
    RUBY_TEST = r#"^[xf]?(?:it|specify|scenario|example|test)\s*\(?\s*["'](.*?)["']|^def\s+(test_\w+)"#;
    RUBY_SKIP = r#"^[xf](?:it|specify|scenario|example|describe|context)\b|^(?:skip|pending)\b|\bskip:\s*(?:true|["'])"#;
    PHP_TEST = r#"^(?:(?:public|final|static)\s+)*function\s+(test\w*)\s*\(|^(?:it|test)\s*\(\s*["'](.*?)["']"#;
    PHP_ATTRIBUTE = r"^#\[Test\b|^(?:/\*)?\*+\s*@test\b";
    PHP_FN = r"\bfunction\s+(\w+)";
    PHP_SKIP = r"markTest(?:Skipped|Incomplete)\(|->(?:skip|todo)\(|@group\s+(?:disabled|skip)";
    ELIXIR_TEST = r#"^(?:test|property)\s+"(.*?)""#;
    ELIXIR_SKIP = r"^@(?:module|describe)?tag\s+(?::skip\b|skip:|\[?skip:)";
    SWIFT_TEST = r"\bfunc\s+(test\w*)\s*\(";
    SWIFT_ATTRIBUTE = r"^@Test\b";
    SWIFT_FN = r"\bfunc\s+(`[^`]+`|\w+)";
    SWIFT_SKIP = r"\bXCTSkip\b|\.disabled\(";
    C_TEST = r"^(?:TEST|TEST_F|TEST_P|TYPED_TEST|TEST_CASE|SCENARIO|TEST_METHOD|START_TEST|BOOST_(?:AUTO|FIXTURE)_TEST_CASE)\s*\(\s*(.*?)\s*\)";
    C_SKIP = r"\bDISABLED_|\bGTEST_SKIP\b|\[!shouldfail\]|\[\.\]";
    QUOTED_TEST = r#"^(?:@test|test|subtest)\s+["'](.*?)["']"#;
    SHELL_SKIP = r"^skip\b";
    PERL_SKIP = r"\bplan\s+skip_all\b|^skip\b";
    NEVER = r"[^\s\S]";
}

fn dialect(language: &str) -> Option<Dialect> {
    let by_line = |test: &'static Regex, skip: &'static Regex| Dialect {
        test: Some(test),
        attribute: None,
        function: None,
        skip,
    };
    let by_attribute =
        |attribute: &'static Regex, function: &'static Regex, skip: &'static Regex| Dialect {
            test: None,
            attribute: Some(attribute),
            function: Some(function),
            skip,
        };
    let dialect = match language {
        "Rust" => by_attribute(&RUST_TEST, &RUST_FN, &RUST_SKIP),
        "Python" => by_line(&PYTHON_TEST, &PYTHON_SKIP),
        "JavaScript" | "TypeScript" | "Vue" | "Svelte" | "Dart" | "Lua" => {
            by_line(&JS_TEST, &JS_SKIP)
        }
        "Go" => by_line(&GO_TEST, &GO_SKIP),
        "Java" | "Kotlin" | "Groovy" => by_attribute(&JVM_TEST, &JVM_FN, &JVM_SKIP),
        "Scala" => {
            Dialect { test: Some(&SCALA_TEST), ..by_attribute(&JVM_TEST, &JVM_FN, &JVM_SKIP) }
        }
        "C#" | "F#" | "Visual Basic" => by_attribute(&CS_TEST, &CS_FN, &CS_SKIP),
        "Ruby" => by_line(&RUBY_TEST, &RUBY_SKIP),
        "PHP" => {
            Dialect { test: Some(&PHP_TEST), ..by_attribute(&PHP_ATTRIBUTE, &PHP_FN, &PHP_SKIP) }
        }
        "Elixir" => by_line(&ELIXIR_TEST, &ELIXIR_SKIP),
        "Swift" => Dialect {
            test: Some(&SWIFT_TEST),
            ..by_attribute(&SWIFT_ATTRIBUTE, &SWIFT_FN, &SWIFT_SKIP)
        },
        "C" | "C++" => by_line(&C_TEST, &C_SKIP),
        "Shell" => by_line(&QUOTED_TEST, &SHELL_SKIP),
        "Perl" => by_line(&QUOTED_TEST, &PERL_SKIP),
        "Zig" => by_line(&QUOTED_TEST, &NEVER),
        _ => return None,
    };
    Some(dialect)
}

/// What stands above a function and belongs to it.
#[derive(Default)]
struct Above {
    is_test: bool,
    skips: Vec<String>,
}

/// The tests and marks in some lines of a language.
pub(super) fn find(language: &str, lines: &[&str]) -> Found {
    let mut found = Found::default();
    let Some(dialect) = dialect(language) else {
        return found;
    };
    let mut above = Above::default();
    for line in lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
        let skips = dialect.skip.is_match(line);
        above.is_test |= dialect.attribute.is_some_and(|attribute| attribute.is_match(line));
        if let Some(name) = definition(&dialect, &above, line) {
            if skips || !above.skips.is_empty() {
                found.marks.push(format!("test {name}"));
            }
            found.tests.push(name);
            above = Above::default();
        } else if skips && is_attached(line) {
            above.skips.push(line.to_owned());
        } else if skips {
            // Inside a test, or over a group of them: its own text tells it apart.
            found.marks.push(line.to_owned());
        } else if !is_attached(line) && !is_comment(line) {
            // Marks above something that is not a test, such as a class.
            found.marks.append(&mut above.skips);
            above = Above::default();
        }
    }
    found.marks.append(&mut above.skips);
    found
}

/// The name of the test that a line defines.
fn definition(dialect: &Dialect, above: &Above, line: &str) -> Option<String> {
    if let Some(found) = dialect.test.and_then(|test| test.captures(line)) {
        return Some(last_group(&found).unwrap_or(line).to_owned());
    }
    if !above.is_test {
        return None;
    }
    // The attribute and the function may share a line; brackets of attributes are not a call.
    let code = if line.starts_with("#[") || line.starts_with('[') {
        line.rsplit_once(']').map_or(line, |(_, code)| code)
    } else if let Some(annotation) = line.strip_prefix('@') {
        annotation.split_once(' ').map_or("", |(_, code)| code)
    } else {
        line
    };
    let found = dialect.function?.captures(code)?;
    last_group(&found).map(str::to_owned)
}

fn last_group<'l>(found: &regex::Captures<'l>) -> Option<&'l str> {
    (1..found.len()).rev().find_map(|group| found.get(group)).map(|group| group.as_str())
}

/// Attributes, annotations and decorators, which belong to what follows.
fn is_attached(line: &str) -> bool {
    line.starts_with("#[")
        || line.starts_with('@')
        || (line.starts_with('[') && line.ends_with(']'))
}

fn is_comment(line: &str) -> bool {
    line.starts_with("//")
        || line.starts_with("/*")
        || line.starts_with('*')
        || line.starts_with("# ")
}
