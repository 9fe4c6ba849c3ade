//! Tests of the module as a whole; each file has one driver and its cases as data.

mod hostile;
mod labels;
mod rules;
mod traps;

use super::Context;

/// A Wednesday.
fn context() -> Context {
    Context::at("2025-06-04T10:00:00Z".parse().expect("a date"))
}
