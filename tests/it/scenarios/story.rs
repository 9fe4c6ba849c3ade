//! Stories: a file of them as steps, and what happens when they are told.
//!
//! `given` folds events, `at` moves the clock, `when` gives commands (`advance` takes every action
//! that needs no outside), `then` lists what followed, `next` what may be done now, `state` what is
//! known. A `when` without a `then` only has to be accepted. Knows no file system.

use super::heading::{Heading, KEYWORDS};
use super::notation::{beginning, command, event, fields, show_event, show_time, time, with_names};
use chrono::{DateTime, Utc};
use longhaul::workflow::command::Command;
use longhaul::workflow::decide::apply;
use longhaul::workflow::event::{Event, Happened, Request};
use longhaul::workflow::evolve::{evolve, fold};
use longhaul::workflow::next::{Action, Wake, advance, next, wake};
use longhaul::workflow::state::Execution;
use serde_json::{Value, json};

/// A step of a story: its keyword and its lines, each with its number in the file.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) keyword: String,
    pub(crate) lines: Vec<(usize, String)>,
}

/// One story.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    /// The first line of its comment.
    pub(crate) title: String,
    pub(crate) request: Request,
    /// The name under which its history is kept in `replay/`, if it is.
    pub(crate) record: Option<String>,
    pub(crate) steps: Vec<Step>,
}

/// Something that was written and is not so.
#[derive(Clone, Debug)]
pub(crate) struct Wrong {
    /// The story.
    pub(crate) title: String,
    /// The lines that would have to be edited: first and last, from 1.
    pub(crate) lines: (usize, usize),
    /// The keyword of the step.
    pub(crate) keyword: String,
    /// What is written.
    pub(crate) written: Vec<String>,
    /// What is the case.
    pub(crate) actual: Vec<String>,
}

/// What a telling gives: who did what, what is wrong, and how things stand in the end.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) state: Execution,
    pub(crate) now: DateTime<Utc>,
    pub(crate) history: Vec<(Happened, &'static str)>,
    pub(crate) wrong: Vec<Wrong>,
}

/// A problem with the text itself.
pub(crate) type Unreadable = (usize, String);

/// Every story of a file. A comment after an empty line begins one; a comment without steps is the
/// file's own.
pub(crate) fn stories(text: &str) -> Result<Vec<Story>, Unreadable> {
    let mut blocks: Vec<Vec<(usize, &str)>> = Vec::new();
    let mut is_new = true;
    for (index, line) in text.lines().enumerate() {
        let begins = line.starts_with('#') && is_new;
        if begins || blocks.is_empty() {
            blocks.push(Vec::new());
        }
        is_new = line.trim().is_empty();
        if let Some(block) = blocks.last_mut().filter(|_| !is_new) {
            block.push((index + 1, line));
        }
    }
    let told = blocks.iter().filter(|b| b.iter().any(|(_, line)| !line.starts_with('#')));
    told.map(|block| story(block)).collect()
}

fn story(block: &[(usize, &str)]) -> Result<Story, Unreadable> {
    let (first, title) = block[0];
    let Some(title) = title.strip_prefix("# ") else {
        return Err((first, "a story begins with a line `# what it tells`".to_owned()));
    };
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in block.iter().filter(|(_, line)| !line.trim_start().starts_with('#')) {
        if line.starts_with(' ') {
            let step = steps.last_mut().ok_or((*number, "nothing to continue".to_owned()))?;
            step.lines.push((*number, line.trim().to_owned()));
        } else {
            let (keyword, rest) = line.split_once(' ').unwrap_or((line, ""));
            let lines = vec![(*number, rest.trim().to_owned())];
            steps.push(Step { keyword: keyword.to_owned(), lines });
        }
    }
    let mut heading = Heading::new();
    let mut last = first;
    let mut told = Vec::new();
    let mut record = None;
    for step in steps {
        if step.keyword == "record" {
            record = Some(step.lines[0].1.clone());
            continue;
        }
        if !KEYWORDS.contains(&step.keyword.as_str()) {
            told.push(step);
            continue;
        }
        last = step.lines[0].0;
        let glue = if step.keyword == "stages" { ", " } else { " " };
        let text = step.lines.iter().map(|(_, l)| l.as_str()).collect::<Vec<_>>().join(glue);
        heading.read(&step.keyword, &text).map_err(|e| (last, e))?;
    }
    let request = heading.request().map_err(|e| (last, e))?;
    let title = title.trim_end_matches(['.', ':']).to_owned();
    Ok(Story { title, request, record, steps: told })
}

struct Teller<'a> {
    story: &'a Story,
    state: Execution,
    now: DateTime<Utc>,
    /// What the last `when` gave, until a `then` has looked at it.
    last: Option<(usize, Vec<String>)>,
    told: Told,
}

/// Tells a story.
pub(crate) fn tell(story: &Story) -> Result<Told, Unreadable> {
    let (state, now) = (Execution::default(), beginning());
    let mut teller = Teller { story, state, now, last: None, told: Told::default() };
    for step in &story.steps {
        teller.step(step)?;
    }
    teller.no_refusal_is_left()?;
    let Teller { state, now, told, .. } = teller;
    Ok(Told { state, now, ..told })
}

impl Teller<'_> {
    fn step(&mut self, step: &Step) -> Result<(), Unreadable> {
        if step.keyword != "then" {
            self.no_refusal_is_left()?;
        }
        match step.keyword.as_str() {
            "given" => step.lines.iter().try_for_each(|(n, line)| self.given(*n, line)),
            "at" => self.at(step.lines[0].0, &step.lines[0].1),
            "when" => self.when(step),
            "then" => {
                let given = self.last.take().map(|(_, lines)| lines);
                let nobody = || (step.lines[0].0, "`then` of nothing: no `when` before".to_owned());
                let actual = given.ok_or_else(nobody)?;
                self.compare(step, actual)
            }
            "next" => self.compare(step, show_next(&self.state, self.now)),
            "state" => self.known(step),
            other => {
                let keywords = "given, at, when, then, next, state";
                let said = format!("`{other}` is no keyword; there are {keywords}, {KEYWORDS:?}");
                Err((step.lines[0].0, said))
            }
        }
    }

    fn no_refusal_is_left(&mut self) -> Result<(), Unreadable> {
        let Some((line, said)) = self.last.take() else { return Ok(()) };
        match said.iter().find(|l| l.starts_with("refused: ")) {
            Some(refused) => Err((line, format!("{refused}\n  (and no `then` says so)"))),
            None => Ok(()),
        }
    }

    fn given(&mut self, number: usize, line: &str) -> Result<(), Unreadable> {
        if let Some(text) = line.strip_prefix("at ") {
            return self.at(number, text);
        }
        let event = event(line, &self.story.request).map_err(|e| (number, e))?;
        let happened = Happened { at: self.now, event };
        evolve(&mut self.state, &happened);
        self.told.history.push((happened, "cli"));
        Ok(())
    }

    fn at(&mut self, number: usize, text: &str) -> Result<(), Unreadable> {
        let now = time(text).ok_or((number, format!("`{text}` is no time; write +30s")))?;
        if now < self.now {
            let shown = show_time(self.now);
            return Err((number, format!("it is {shown} already; time does not go back")));
        }
        self.now = now;
        Ok(())
    }

    fn when(&mut self, step: &Step) -> Result<(), Unreadable> {
        let mut lines = Vec::new();
        for (number, line) in &step.lines {
            let given = match line.as_str() {
                "advance" => advance(&mut self.state, self.now).map(|events| (events, "worker")),
                line => {
                    let command = command(line, &self.story.request).map_err(|e| (*number, e))?;
                    let actor = actor(&command);
                    apply(&mut self.state, self.now, &command).map(|events| (events, actor))
                }
            };
            match given {
                Ok((events, _)) if events.is_empty() => lines.push("nothing".to_owned()),
                Ok((events, actor)) => {
                    for happened in events {
                        lines.push(self.shown(&happened.event));
                        self.told.history.push((happened, actor));
                    }
                }
                Err(refusal) => {
                    lines.push(with_names(&format!("refused: {refusal}")));
                }
            }
        }
        assert_eq!(self.state, fold(self.told.history.iter().map(|(h, _)| h)), "replay is live");
        self.last = Some((step.lines[0].0, lines));
        Ok(())
    }

    /// What is shown can be read again and is the same, and so is what is stored.
    fn shown(&self, event: &Event) -> String {
        let line = show_event(event, &self.story.request);
        let read = super::notation::event(&line, &self.story.request);
        assert_eq!(read.as_ref(), Ok(event), "the notation loses something of `{line}`");
        let stored = serde_json::to_string(event).expect("JSON");
        let loaded: Event = serde_json::from_str(&stored).expect("an event");
        assert_eq!(loaded, *event, "JSON loses something of `{stored}`");
        line
    }

    fn known(&mut self, step: &Step) -> Result<(), Unreadable> {
        let mut actual = Vec::new();
        for (number, line) in &step.lines {
            let keys =
                line.split(' ').filter_map(|w| Some(w.split_once('=')?.0)).collect::<Vec<_>>();
            let wanted = fields("state", line).map_err(|e| (*number, e))?;
            let shown = keys.iter().map(|key| {
                let found = look_up(&self.state, key);
                let wanted = look_into(&wanted, key).unwrap_or_default();
                let holds = found == wanted;
                format!("{key}={}", if holds { show(&wanted) } else { show(&found) })
            });
            actual.push(with_names(&shown.collect::<Vec<_>>().join(" ")));
        }
        self.compare(step, actual)
    }

    fn compare(&mut self, step: &Step, actual: Vec<String>) -> Result<(), Unreadable> {
        let written: Vec<String> = step.lines.iter().map(|(_, l)| l.clone()).collect();
        let is_same = written.len() == actual.len()
            && written.iter().zip(&actual).all(|(w, a)| w == a || self.means_the_same(w, a));
        if !is_same {
            let lines = (step.lines[0].0, step.lines[step.lines.len() - 1].0);
            let (title, keyword) = (self.story.title.clone(), step.keyword.clone());
            self.told.wrong.push(Wrong { title, lines, keyword, written, actual });
        }
        Ok(())
    }

    /// Another spelling of the same event, for example its JSON.
    fn means_the_same(&self, written: &str, actual: &str) -> bool {
        let read = |line: &str| event(line, &self.story.request).ok();
        read(written).is_some_and(|event| read(actual) == Some(event))
    }
}

/// Who gives such a command, for the envelope of a recorded history.
fn actor(command: &Command) -> &'static str {
    match command {
        Command::Request(_)
        | Command::Signal { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Cancel { .. }
        | Command::Rewind { .. }
        | Command::Retry { .. } => "cli",
        _ => "worker",
    }
}

/// What may be done, one action a line, or how long nothing may be.
fn show_next(state: &Execution, now: DateTime<Utc>) -> Vec<String> {
    let actions = next(state, now);
    if actions.is_empty() {
        return vec![match wake(state, now) {
            Wake::Now => "nothing, and yet to be looked at now".to_owned(),
            Wake::At(at) => format!("nothing until {}", show_time(at)),
            Wake::Never => "nothing".to_owned(),
        }];
    }
    assert_eq!(wake(state, now), Wake::Now, "what may be done may be done now");
    actions.iter().map(|a| with_names(&show_action(a))).collect()
}

fn show_action(action: &Action) -> String {
    match action {
        Action::Start { stage } => format!("Start {stage}"),
        Action::Skip { stage, reason } => format!("Skip {stage} reason={}", json!(reason)),
        Action::Wake { stage } => format!("Wake {stage}"),
        Action::ExpireWait { stage } => format!("ExpireWait {stage}"),
        Action::Halt => "Halt".to_owned(),
        Action::ConfirmCancel => "ConfirmCancel".to_owned(),
        Action::Complete => "Complete".to_owned(),
        Action::Fail { error, stage } => {
            let at = stage.as_ref().map(|s| format!(" {s}")).unwrap_or_default();
            let said = format!("{}: {}", error.kind.as_str(), error.message);
            format!("Fail{at} error={}", json!(said))
        }
    }
}

/// A value of the state by path: `branch`, `status`, `build.attempts`, `build.is`.
fn look_up(state: &Execution, path: &str) -> Value {
    if path == "status" {
        return json!(state.status());
    }
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    match state.stage(head) {
        Some(stage) if rest == "is" => json!(stage.state.as_str()),
        Some(stage) if rest == "output" => json!(stage.output()),
        Some(stage) => look_into(&json!(stage), rest).unwrap_or_default(),
        None => look_into(&json!(state), path).unwrap_or_default(),
    }
}

fn look_into(value: &Value, path: &str) -> Option<Value> {
    path.split('.').try_fold(value, |v, key| v.get(key)).cloned()
}

fn show(value: &Value) -> String {
    let Some(text) = value.as_str() else { return value.to_string() };
    if let Ok(at) = text.parse::<DateTime<Utc>>() {
        return show_time(at);
    }
    let is_word = text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if is_word && !text.is_empty() { text.to_owned() } else { value.to_string() }
}
