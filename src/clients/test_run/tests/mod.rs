//! Tests of the module, by what they look at. Outputs of test tools, repositories and diffs are data in
//! `tests/test_run/`.

mod deltas;
mod feedback;
mod properties;
mod report;
mod repositories;
mod samples;
mod text;
mod verdict;
