//! Reads JUnit's XML, which most frameworks can write: `testsuites`, nested `testsuite`s and their
//! `testcase`s. Cases are counted rather than the attributes of suites, because writers disagree about
//! what those include (Node's and Jest's differ from surefire's).

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::place;
use crate::clients::test_run::readers::Framework;
use crate::clients::test_run::summary::{Failure, Reading, Summary};
use crate::clients::test_run::text::Lines;

/// See [`super::Reader`]. A reporter may print its XML on standard output.
pub(super) fn read(lines: &mut Lines<'_>) -> Option<Reading> {
    let starts = |line: &str| {
        let line = line.trim_start();
        line.starts_with("<testsuites") || line.starts_with("<testsuite ")
    };
    let start = lines.free().find(|(_, line)| starts(line) || line.contains("?><testsuite"))?.0;
    let ends = |line: &str| line.contains("</testsuites>") || line.contains("</testsuite>");
    let end = lines.from(start).filter(|(_, line)| ends(line)).last()?.0;
    let reading = parse(&lines.slice(start, end + 1).join("\n"))?;
    lines.take(start..=end);
    Some(reading)
}

/// Reads a report in JUnit's XML format.
///
/// `None` when the text is not such a report. One that ends early gives what was in it, with
/// `complete: false`. Entities beyond XML's own are not resolved, and nothing is ever loaded.
pub fn read_junit(xml: &str) -> Option<Summary> {
    parse(xml).map(|reading| reading.into_summary(Framework::Junit))
}

/// One test while its element is open.
#[derive(Default)]
struct Case {
    name: String,
    file: Option<String>,
    line: Option<u64>,
    outcome: Outcome,
    message: String,
    text: String,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Outcome {
    #[default]
    Passed,
    Failed,
    Skipped,
}

#[derive(Default)]
struct State {
    reading: Reading,
    suites: Vec<String>,
    case: Option<Case>,
    /// Inside `failure` or `error`: the text there is the trace.
    in_trace: bool,
    seen: bool,
}

fn parse(xml: &str) -> Option<Reading> {
    let mut reader = Reader::from_str(xml.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']));
    reader.config_mut().check_end_names = false;
    let mut state = State::default();
    let complete = loop {
        match reader.read_event() {
            Ok(Event::Start(element)) => state.open(&element),
            Ok(Event::Empty(element)) => {
                state.open(&element);
                state.close(element.local_name().as_ref());
            }
            Ok(Event::End(element)) => state.close(element.local_name().as_ref()),
            Ok(Event::Text(text)) => state.text(&text),
            Ok(Event::CData(text)) => state.text(&text),
            Ok(Event::GeneralRef(entity)) => {
                let resolved = entity.resolve_char_ref().ok().flatten();
                let known = || quick_xml::escape::resolve_xml_entity(&entity).map(str::to_owned);
                state.text(&resolved.map(String::from).or_else(known).unwrap_or_default());
            }
            Ok(Event::Eof) => break state.suites.is_empty() && state.case.is_none(),
            Ok(_) => {}
            Err(_) => break false,
        }
    };
    state.finish_case();
    state.reading.complete = complete;
    state.reading.says_none =
        complete && state.reading == Reading { complete, ..Reading::default() };
    state.seen.then_some(state.reading)
}

impl State {
    fn open(&mut self, element: &BytesStart<'_>) {
        match element.local_name().as_ref() {
            "testsuites" => self.seen = true,
            "testsuite" => {
                self.seen = true;
                self.suites.push(attribute(element, "name").unwrap_or_default());
            }
            "testcase" => {
                self.finish_case();
                self.case = Some(self.new_case(element));
            }
            // `rerunFailure` and `flakyFailure` are tries of a test that passed in the end.
            "failure" | "error" => self.outcome(element, Outcome::Failed),
            "skipped" => self.outcome(element, Outcome::Skipped),
            _ => {}
        }
    }

    fn new_case(&self, element: &BytesStart<'_>) -> Case {
        let test = attribute(element, "name").unwrap_or_default();
        let class = attribute(element, "classname").filter(|class| !class.is_empty());
        // Reporters repeat the suite or the class inside the name.
        let group = class.or_else(|| self.suites.last().cloned()).unwrap_or_default();
        let name = if group.is_empty() || test.starts_with(&group) {
            test
        } else {
            format!("{group}.{test}")
        };
        Case {
            name,
            file: attribute(element, "file"),
            line: attribute(element, "line").and_then(|line| line.parse().ok()),
            ..Case::default()
        }
    }

    fn outcome(&mut self, element: &BytesStart<'_>, outcome: Outcome) {
        let Some(case) = &mut self.case else {
            // A suite that could not run at all has its error at its own level.
            if outcome == Outcome::Failed {
                let name = self.suites.last().cloned().unwrap_or_default();
                let message = attribute(element, "message").unwrap_or_default();
                self.reading.failed = self.reading.failed.saturating_add(1);
                self.reading.fail(Failure::new(name, message.lines()));
            }
            return;
        };
        if case.outcome != Outcome::Failed {
            case.outcome = outcome;
            case.message = attribute(element, "message").unwrap_or_default();
        }
        self.in_trace = outcome == Outcome::Failed;
    }

    fn text(&mut self, text: &str) {
        const TEXT_BYTES_MAX: usize = 64 * 1024;
        if let (true, Some(case)) = (self.in_trace, &mut self.case)
            && case.text.len() < TEXT_BYTES_MAX
        {
            case.text.push_str(text);
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "testsuite" => {
                self.finish_case();
                self.suites.pop();
            }
            "testcase" => self.finish_case(),
            "failure" | "error" | "skipped" => self.in_trace = false,
            _ => {}
        }
    }

    fn finish_case(&mut self) {
        let Some(case) = self.case.take() else { return };
        self.in_trace = false;
        match case.outcome {
            Outcome::Passed => self.reading.passed = self.reading.passed.saturating_add(1),
            Outcome::Skipped => self.reading.skipped = self.reading.skipped.saturating_add(1),
            Outcome::Failed => {
                self.reading.failed = self.reading.failed.saturating_add(1);
                self.reading.fail(failure(case));
            }
        }
    }
}

fn failure(case: Case) -> Failure {
    let first_line = case.message.lines().next().unwrap_or("").trim();
    // The trace mostly begins with the message, but not in every dialect.
    let repeated = first_line.is_empty() || case.text.contains(first_line);
    let message = if repeated { "" } else { case.message.as_str() };
    let lines: Vec<&str> = message.lines().chain(case.text.lines()).collect();
    let class = case.name.rsplit('.').nth(1).unwrap_or("").to_owned();
    let place = match (case.file, case.line) {
        (Some(file), Some(line)) => Some((file, line)),
        (Some(file), None) => place::first_in(&lines, &file).or(Some((file, 0))),
        (None, _) => place::first_in(&lines, &format!("{class}.java")),
    };
    Failure::new(case.name, lines).at(place)
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok().flatten()?;
    match quick_xml::escape::unescape(&attribute.value) {
        Ok(text) => Some(text.into_owned()),
        // An entity that nobody knows: better the raw text than none.
        Err(_) => Some(attribute.value.into_owned()),
    }
}
