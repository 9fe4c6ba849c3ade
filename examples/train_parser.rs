//! Trains `assets/type.bin`, the model that helps the offline parser with the type of a task.
//!
//! ```text
//! train_parser OUT.bin ROWS.jsonl... [--requests FILE.txt]... [--lines FILE.txt]... [--test FILE.jsonl]
//! ```
//! Rows are JSON lines with `title`, `body` and `type` (the uncompressed training data); requests are in the
//! notation of `tests/task/requests.txt`, lines in that of `tests/task/one_liners.txt`. Logistic regression over hashed words, AdaGrad, three passes in a
//! fixed order: the same input gives the same file on one platform. Takes some seconds in release mode.

#![allow(clippy::print_stdout, reason = "a command for developers reports on stdout")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;

use longhaul::task::{BUCKETS, CLASSES, Row, TaskType, encode, features};

const USAGE: &str = "usage: train_parser OUT.bin ROWS.jsonl... [--requests FILE.txt]... [--lines FILE.txt]... [--test FILE.jsonl]";
const PASSES: usize = 3;
const LEARNING_RATE: f32 = 0.05;
/// Rows of one class beyond this number are left out, so that the commonest class does not rule.
const ROWS_PER_CLASS_MAX: usize = 14_000;
/// A hand-written request counts as this many commits: it looks like what the parser will see.
const REQUEST_COPIES: usize = 15;

struct Sample {
    features: Vec<(usize, f32)>,
    class: usize,
    weight: f32,
}

struct Options {
    out: String,
    rows: Vec<String>,
    requests: Vec<String>,
    lines: Vec<String>,
    test: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let mut rows = Vec::new();
    for file in &options.rows {
        rows.extend(commit_rows(&fs::read_to_string(file)?)?);
    }
    let mut rows = balanced(rows);
    for file in &options.requests {
        rows.extend(request_rows(&fs::read_to_string(file)?));
    }
    for file in &options.lines {
        rows.extend(line_rows(&fs::read_to_string(file)?));
    }
    shuffle(&mut rows);
    let (weights, bias) = train(&rows);
    println!(
        "{} rows, mean accuracy per class on them {:.3}",
        rows.len(),
        accuracy(&rows, &weights, bias)
    );
    if let Some(file) = &options.test {
        let test = commit_rows(&fs::read_to_string(file)?)?;
        println!(
            "{} test rows, mean accuracy per class {:.3}",
            test.len(),
            accuracy(&test, &weights, bias)
        );
    }
    fs::write(&options.out, encode(&weights, bias))?;
    Ok(())
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let out = args.next().ok_or(USAGE)?;
    let mut options =
        Options { out, rows: Vec::new(), requests: Vec::new(), lines: Vec::new(), test: None };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--requests" => options.requests.push(args.next().ok_or("--requests needs a file")?),
            "--lines" => options.lines.push(args.next().ok_or("--lines needs a file")?),
            "--test" => options.test = Some(args.next().ok_or("--test needs a file")?),
            _ => options.rows.push(arg),
        }
    }
    Ok(options)
}

fn class_of(kind: TaskType) -> Option<usize> {
    // Commits know no hotfix; in the text of a request it looks like any other defect.
    let kind = if kind == TaskType::Hotfix { TaskType::Bugfix } else { kind };
    CLASSES.iter().position(|one| *one == kind)
}

fn commit_rows(text: &str) -> Result<Vec<Sample>, Box<dyn Error>> {
    let mut out = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let field = |name: &str| row.get(name).and_then(|value| value.as_str()).unwrap_or("");
        let Some(class) = field("type").parse().ok().and_then(class_of) else { continue };
        let features = features(&format!("{}\n{}", field("title"), field("body")));
        if !features.is_empty() {
            out.push(Sample { features, class, weight: 1.0 });
        }
    }
    Ok(out)
}

fn request_rows(text: &str) -> Vec<Sample> {
    let mut out = Vec::new();
    for record in format!("\n{text}").split("\n### ").skip(1) {
        let Some((head, body)) = record.split_once('\n') else { continue };
        let Some(class) =
            head.split(' ').nth(1).and_then(|kind| kind.parse().ok()).and_then(class_of)
        else {
            continue;
        };
        let body: Vec<&str> = body.lines().filter(|line| !line.starts_with("=> ")).collect();
        out.extend(copies(&body.join("\n"), class));
    }
    out
}

fn line_rows(text: &str) -> Vec<Sample> {
    let mut class = None;
    let mut out = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        match (line.strip_prefix("== "), class) {
            (Some(kind), _) => class = kind.parse().ok().and_then(class_of),
            (None, Some(class)) => out.extend(copies(line, class)),
            (None, None) => {}
        }
    }
    out
}

fn copies(text: &str, class: usize) -> impl Iterator<Item = Sample> {
    let features = features(text);
    std::iter::repeat_n(features, REQUEST_COPIES).map(move |features| Sample {
        features,
        class,
        weight: 1.0,
    })
}

/// At most `ROWS_PER_CLASS_MAX` rows of a class, taken evenly, and weights that make the classes equally heavy.
fn balanced(rows: Vec<Sample>) -> Vec<Sample> {
    let mut classes: BTreeMap<usize, Vec<Sample>> = BTreeMap::new();
    for row in rows {
        classes.entry(row.class).or_default().push(row);
    }
    let mut out = Vec::new();
    for (_, rows) in classes {
        let step = rows.len().div_ceil(ROWS_PER_CLASS_MAX);
        let kept: Vec<Sample> = rows.into_iter().step_by(step).collect();
        let weight = (ROWS_PER_CLASS_MAX as f32 / 2.0 / kept.len() as f32).clamp(0.3, 6.0);
        out.extend(kept.into_iter().map(|row| Sample { weight, ..row }));
    }
    out
}

/// Fisher-Yates with a fixed linear congruential sequence.
fn shuffle(rows: &mut [Sample]) {
    let mut state = 0x5eed_u64;
    for at in (1..rows.len()).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        rows.swap(at, ((state >> 33) % (at as u64 + 1)) as usize);
    }
}

fn train(rows: &[Sample]) -> (Vec<Row>, Row) {
    let mut weights = vec![[0.0_f32; CLASSES.len()]; BUCKETS];
    let mut squares = vec![[1e-6_f32; CLASSES.len()]; BUCKETS];
    let (mut bias, mut bias_squares) = ([0.0_f32; CLASSES.len()], [1e-6_f32; CLASSES.len()]);
    for _ in 0..PASSES {
        for row in rows {
            let p = probabilities(&row.features, &weights, bias);
            for class in 0..CLASSES.len() {
                let error = row.weight * (p[class] - if class == row.class { 1.0 } else { 0.0 });
                for (bucket, value) in &row.features {
                    let gradient = error * value;
                    squares[*bucket][class] += gradient * gradient;
                    weights[*bucket][class] -=
                        LEARNING_RATE * gradient / squares[*bucket][class].sqrt();
                }
                bias_squares[class] += error * error;
                bias[class] -= LEARNING_RATE * error / bias_squares[class].sqrt();
            }
        }
    }
    (weights, bias)
}

fn probabilities(features: &[(usize, f32)], weights: &[Row], bias: Row) -> Row {
    let mut scores = bias;
    for (bucket, value) in features {
        for class in 0..CLASSES.len() {
            scores[class] += value * weights[*bucket][class];
        }
    }
    let top = scores.iter().copied().fold(f32::MIN, f32::max);
    let total: f32 = scores.iter().map(|score| (score - top).exp()).sum();
    scores.map(|score| (score - top).exp() / total)
}

/// Share of rows that are right, averaged over the classes: a guess scores 1/7 however common one class is.
fn accuracy(rows: &[Sample], weights: &[Row], bias: Row) -> f64 {
    let mut right = [0.0_f64; CLASSES.len()];
    let mut all = [0.0_f64; CLASSES.len()];
    for row in rows {
        let p = probabilities(&row.features, weights, bias);
        all[row.class] += 1.0;
        if p.iter().all(|one| *one <= p[row.class]) {
            right[row.class] += 1.0;
        }
    }
    let shares: Vec<f64> = right
        .iter()
        .zip(all)
        .filter(|(_, all)| *all > 0.0)
        .map(|(right, all)| right / all)
        .collect();
    shares.iter().sum::<f64>() / shares.len().max(1) as f64
}
