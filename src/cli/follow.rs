//! Watching an execution: live lines on a terminal, one plain line per event elsewhere.

use super::error::CliError;
use super::out;
use crate::engine::Longhaul;
use crate::store::LogChunk;
use crate::view::{self, ExecutionView};
use crate::workflow::event::{Event, Happened};
use crate::workflow::evolve::evolve;
use crate::workflow::state::{Execution, Stage, StageState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

const POLL: Duration = Duration::from_millis(100);

/// Follows an execution until it has ended or is paused, and gives its final shape. `quiet` shows
/// nothing.
pub(super) async fn follow(
    engine: &Longhaul,
    id: Uuid,
    quiet: bool,
) -> Result<ExecutionView, CliError> {
    let (_nobody, notes) = mpsc::unbounded_channel();
    follow_with(engine, id, quiet, notes).await
}

/// The same, with remarks from outside among the lines: written past it, they would tear them.
pub(super) async fn follow_with(
    engine: &Longhaul,
    id: Uuid,
    quiet: bool,
    mut notes: mpsc::UnboundedReceiver<String>,
) -> Result<ExecutionView, CliError> {
    let mut screen = Screen::new(quiet);
    let mut state = Execution::default();
    let mut last_log: Option<LogChunk> = None;
    loop {
        while let Ok(note) = notes.try_recv() {
            screen.say(&note);
        }
        match engine.store().events(id, state.version, 1_000).await {
            Ok(stored) => {
                for s in &stored {
                    let happened = s.happened()?;
                    evolve(&mut state, &happened);
                    screen.event(&state, &happened);
                }
            }
            Err(error) if error.may_pass() => screen.say(&format!("waiting: {error}")),
            Err(error) => return Err(error.into()),
        }
        if screen.is_live() {
            last_log = screen.logs(engine, id, last_log).await;
            screen.draw(&state);
        }
        let is_paused = state.pause.is_some() && !state.is_anything_running();
        if state.outcome.is_some() || is_paused {
            screen.finish(&state);
            return Ok(view::execution(id, &state));
        }
        tokio::time::sleep(POLL).await;
    }
}

enum Screen {
    Quiet,
    Plain,
    Live { lines: MultiProgress, bars: HashMap<String, ProgressBar>, log: HashMap<String, String> },
}

impl Screen {
    fn new(quiet: bool) -> Self {
        if quiet {
            Screen::Quiet
        } else if std::io::stderr().is_terminal() {
            Screen::Live { lines: MultiProgress::new(), bars: HashMap::new(), log: HashMap::new() }
        } else {
            Screen::Plain
        }
    }

    fn is_live(&self) -> bool {
        matches!(self, Screen::Live { .. })
    }

    fn say(&self, text: &str) {
        match self {
            Screen::Quiet => {}
            Screen::Plain => out::note(text),
            Screen::Live { lines, .. } => {
                let _ = lines.println(text);
            }
        }
    }

    fn event(&self, state: &Execution, happened: &Happened) {
        let Some(text) = sentence(state, &happened.event) else { return };
        let is_news = !matches!(
            happened.event,
            Event::StageStarted { .. }
                | Event::StageSucceeded { .. }
                | Event::StageProgressed { .. }
                | Event::StepRecorded { .. }
                | Event::BudgetSpent { .. }
        );
        // On a terminal the lines of the stages tell the ordinary course.
        if matches!(self, Screen::Plain) || is_news {
            self.say(&format!("{} {text}", happened.at.format("%H:%M:%S")));
        }
    }

    async fn logs(
        &mut self,
        engine: &Longhaul,
        id: Uuid,
        after: Option<LogChunk>,
    ) -> Option<LogChunk> {
        let Screen::Live { log, .. } = self else { return after };
        let Ok(chunks) = engine.store().logs(id, None, after.as_ref()).await else { return after };
        for chunk in &chunks {
            if let Some(line) = chunk.content.lines().rev().find(|l| !l.trim().is_empty()) {
                let plain = anstream::adapter::strip_str(line).to_string();
                log.insert(chunk.stage.clone(), plain.trim().chars().take(200).collect());
            }
        }
        chunks.into_iter().next_back().or(after)
    }

    fn draw(&mut self, state: &Execution) {
        let Screen::Live { lines, bars, log } = self else { return };
        for stage in &state.stages {
            let bar =
                bars.entry(stage.name.clone()).or_insert_with(|| lines.add(new_bar(&stage.name)));
            let word = log.get(&stage.name).map_or("", String::as_str);
            draw_stage(bar, state, stage, word);
        }
    }

    fn finish(&mut self, state: &Execution) {
        self.draw(state);
        if let Screen::Live { bars, .. } = self {
            bars.values().filter(|b| !b.is_finished()).for_each(ProgressBar::abandon);
        }
    }
}

fn new_bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_prefix(format!("{name:<16}"));
    bar.set_style(style("{spinner:.dim} {prefix} {wide_msg}"));
    bar
}

/// A template is ours and fixed; should one be wrong, the default style is no loss.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.unwrap_or_else(|_| ProgressStyle::default_spinner()).tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

fn draw_stage(bar: &ProgressBar, state: &Execution, stage: &Stage, log: &str) {
    let since = |start: Option<chrono::DateTime<chrono::Utc>>| {
        let ms = start.map_or(0, |s| (chrono::Utc::now() - s).num_milliseconds().max(0));
        out::duration(ms)
    };
    let took = stage
        .started_at
        .zip(stage.finished_at)
        .map_or(String::new(), |(a, b)| out::duration((b - a).num_milliseconds()));
    let attempt =
        if stage.attempts > 1 { format!("attempt {} · ", stage.attempts) } else { String::new() };
    let (mark, text) = match &stage.state {
        StageState::Pending => ("·", String::new()),
        StageState::Running { .. } => {
            let word = if log.is_empty() { stage.progress.as_str() } else { log };
            bar.set_style(style("{spinner:.cyan} {prefix} {wide_msg}"));
            bar.set_message(format!("{attempt}{} · {word}", since(stage.attempt_started_at)));
            return bar.tick();
        }
        StageState::RetryDue { error, .. } => {
            ("↻", format!("{attempt}again soon: {}", error.message))
        }
        StageState::Waiting { reason, .. } => ("…", format!("waits: {}", reason.detail)),
        StageState::Interrupted => ("!", format!("{attempt}interrupted")),
        StageState::Succeeded { .. } => ("✓", format!("{attempt}{took}")),
        StageState::Failed { error } => ("✗", format!("{attempt}{}", error.message)),
        StageState::Skipped { .. } => ("-", "skipped".to_owned()),
    };
    let _ = state;
    let color = match mark {
        "✓" => "green",
        "✗" => "red",
        "·" | "-" => "dim",
        _ => "yellow",
    };
    bar.set_style(
        style(&format!("{{spinner:.{color}}} {{prefix}} {{wide_msg}}")).tick_strings(&[mark, mark]),
    );
    bar.set_message(text.lines().next().unwrap_or_default().to_owned());
    bar.tick();
}

/// An event in a sentence; none for what only machines need.
pub(super) fn sentence(state: &Execution, event: &Event) -> Option<String> {
    Some(match event {
        Event::ExecutionRequested(request) => {
            let title = request.task.get("title").and_then(|t| t.as_str()).unwrap_or_default();
            format!("requested: {title} (workflow {})", request.definition.name)
        }
        Event::ExecutionClaimed { worker, .. } => {
            format!("taken by worker {}", out::short(*worker))
        }
        Event::StageStarted { stage, attempt } => format!("{stage}: started, attempt {attempt}"),
        Event::StepRecorded { stage, key, .. } => format!("{stage}: step `{key}` done"),
        Event::StageProgressed { stage, message, .. } => format!("{stage}: {message}"),
        Event::StageSucceeded { stage, .. } => {
            let took = state.stage(stage).and_then(|s| s.attempt_started_at.zip(s.finished_at));
            let took = took.map_or(0, |(a, b)| (b - a).num_milliseconds());
            format!("{stage}: succeeded in {}", out::duration(took))
        }
        Event::StageFailed { stage, error, .. } => format!("{stage}: failed: {}", error.message),
        Event::StageRetryScheduled { stage, due, .. } => {
            format!("{stage}: tried again at {}", due.format("%H:%M:%S"))
        }
        Event::StageWaiting { stage, reason, .. } => format!("{stage}: waits: {}", reason.detail),
        Event::StageResumed { stage, .. } => format!("{stage}: goes on"),
        Event::StageInterrupted { stage, reason, .. } => format!("{stage}: interrupted: {reason}"),
        Event::StageSkipped { stage, reason } => format!("{stage}: skipped: {reason}"),
        Event::StageReopened { stage, by, repair_loop, .. } => {
            format!("{stage}: opened again by {by}, repair loop {repair_loop}")
        }
        Event::SignalReceived { name, .. } => format!("signal `{name}` received"),
        Event::TimerFired { stage, .. } => format!("{stage}: its time has come"),
        Event::BudgetSpent { stage, cost, .. } => format!("{stage}: spent {:.4} USD", cost.usd),
        Event::ExecutionPaused { motive } => format!("paused: {}", motive.reason),
        Event::ExecutionResumed { .. } => "resumed".to_owned(),
        Event::CancellationRequested { motive } => {
            format!("cancellation requested: {}", motive.reason)
        }
        Event::ExecutionCancelled {} => "cancelled".to_owned(),
        Event::ExecutionRewound { from, branch, offered, .. } => {
            let again = if offered.is_empty() {
                String::new()
            } else {
                format!("; offered again: {}", offered.join(", "))
            };
            format!("rewound to {from}, branch {branch}{again}")
        }
        Event::ExecutionCompleted {} => "completed".to_owned(),
        Event::ExecutionFailed { error, .. } => format!("failed: {}", error.message),
    })
}
