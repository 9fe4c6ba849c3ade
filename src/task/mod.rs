//! The structured task: its model, the offline parser, enhancement by type and validation.
//!
//! Plain language comes in, a `Task` comes out, the same one every time for the same text and `Context`. The
//! way of a text: `lexicon` finds the known words, `pieces` cuts it into sentences and sections, `injection`
//! and `negation` take out what must not count, and what is left (`reading`) is looked at by `kind`,
//! `urgency`, `criteria`, `risks`, `complexity`, `mentions`, `files` and `title`, one question each.
//!
//! Never: I/O, a clock, randomness, a panic. Never: more than linear time, whatever the text.

mod asking;
mod calendar;
mod clauses;
mod complexity;
mod context;
mod criteria;
mod cue;
mod enhance;
mod facts;
mod filed;
mod files;
mod fold;
mod headings;
mod injection;
mod kind;
mod language;
mod lexicon;
mod lines;
mod mentions;
mod model;
mod names;
mod negation;
mod ngrams;
mod parse;
mod pieces;
mod reading;
mod risks;
mod scenario;
mod sentences;
mod title;
mod urgency;
mod validate;
mod weights;

pub use context::{Context, ParseRefusal};
pub use enhance::enhance;
pub use model::{Alternative, Confidence, Criterion, Requirements, Risk, Task};
pub use names::{
    ComplexityClass, CriterionSource, Priority, RiskCategory, Severity, TaskType, UnknownName,
};
pub use ngrams::{BUCKETS, features};
pub use parse::{OFFLINE_PARSER, TEXT_BYTES_MAX, parse};
pub use validate::{Validation, validate};
pub use weights::{CLASSES, Row, encode};

/// The way from text to a task that can be started: parse, enhance, validate. Warnings stay on the task;
/// whether it may be started is asked with `validate`.
///
/// # Errors
/// As `parse`.
pub fn understand(
    text: &str,
    context: &Context,
    known_workflows: &[&str],
) -> Result<Task, ParseRefusal> {
    let mut task = enhance(parse(text, context)?, context);
    for warning in validate(&task, known_workflows).warnings {
        if !task.warnings.contains(&warning) {
            task.warnings.push(warning);
        }
    }
    Ok(task)
}

#[cfg(test)]
mod tests;
