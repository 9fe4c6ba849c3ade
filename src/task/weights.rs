//! The trained model: a softmax over hashed words, 7 classes, one signed byte per weight.
//!
//! It was trained on English commit messages and on the hand-written requests of `tests/task/`
//! (see `examples/train_parser.rs` and NOTICE) and knows nothing of hotfixes, which look like any other defect. The rules in `kind` stay in charge; this breaks ties and helps where no known word appears.

use super::names::TaskType;
use super::ngrams::{BUCKETS, features};

/// The classes of the model, in the order of its columns.
pub const CLASSES: [TaskType; 7] = [
    TaskType::Feature,
    TaskType::Bugfix,
    TaskType::Refactor,
    TaskType::Experimental,
    TaskType::Docs,
    TaskType::Test,
    TaskType::Chore,
];
/// One number per class.
pub type Row = [f32; CLASSES.len()];

/// Bytes before the weights: per class a scale and a bias, each an f32, little endian.
const HEADER_BYTES: usize = CLASSES.len() * 8;

static MODEL: &[u8] = include_bytes!("../../assets/type.bin");

/// Logarithm of the probability of each class. `None` if the text has no words or the model does not fit.
pub(crate) fn log_probabilities(text: &str) -> Option<Row> {
    let found = features(text);
    if found.is_empty() || MODEL.len() != HEADER_BYTES + BUCKETS * CLASSES.len() {
        return None;
    }
    let mut scores = [0.0_f32; CLASSES.len()];
    for (class, score) in scores.iter_mut().enumerate() {
        let sum: f32 = found.iter().map(|(bucket, value)| value * weight(*bucket, class)).sum();
        *score = sum * header(class, 0)? + header(class, 4)?;
    }
    Some(log_softmax(scores))
}

fn weight(bucket: usize, class: usize) -> f32 {
    let at = HEADER_BYTES + bucket * CLASSES.len() + class;
    MODEL.get(at).map_or(0.0, |byte| f32::from(i8::from_le_bytes([*byte])))
}

/// Scale (offset 0) or bias (offset 4) of a class.
fn header(class: usize, offset: usize) -> Option<f32> {
    let at = class * 8 + offset;
    let bytes: [u8; 4] = MODEL.get(at..at + 4)?.try_into().ok()?;
    Some(f32::from_le_bytes(bytes))
}

fn log_softmax(scores: Row) -> Row {
    let top = scores.iter().copied().fold(f32::MIN, f32::max);
    let total: f32 = scores.iter().map(|score| (score - top).exp()).sum();
    scores.map(|score| score - top - total.ln())
}

/// Writes a model the way it is read: `weights` holds a row of one weight per class for each bucket.
#[must_use]
pub fn encode(weights: &[Row], bias: Row) -> Vec<u8> {
    let mut scales = [1.0_f32; CLASSES.len()];
    for (class, scale) in scales.iter_mut().enumerate() {
        let largest = weights
            .iter()
            .filter_map(|row| row.get(class))
            .fold(0.0_f32, |most, one| most.max(one.abs()));
        *scale = (largest / 127.0).max(f32::MIN_POSITIVE);
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + weights.len() * CLASSES.len());
    for (scale, bias) in scales.iter().zip(bias) {
        out.extend(scale.to_le_bytes());
        out.extend(bias.to_le_bytes());
    }
    for row in weights {
        // Rounded and within -127..=127 by the choice of the scale, so the conversion loses nothing more.
        out.extend(
            row.iter()
                .zip(scales)
                .flat_map(|(weight, scale)| ((weight / scale).round() as i8).to_le_bytes()),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_in_the_repository_fits_and_has_learned_the_obvious() {
        let best = |text: &str| {
            let logs = log_probabilities(text).expect("model fits");
            let total: f32 = logs.iter().map(|log| log.exp()).sum();
            assert!((total - 1.0).abs() < 1e-3);
            CLASSES
                [(0..CLASSES.len()).max_by(|a, b| logs[*a].total_cmp(&logs[*b])).expect("a class")]
        };
        assert_eq!(best("bump lodash from 4.17.20 to 4.17.21"), TaskType::Chore);
        assert_eq!(best("update the readme with install instructions"), TaskType::Docs);
        assert_eq!(best("add unit tests for the parser"), TaskType::Test);
        assert_eq!(best("fix crash when the list is empty"), TaskType::Bugfix);
        assert_eq!(log_probabilities("..."), None);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut rows = vec![[0.0; 7]; 2];
        rows[1] = [1.27, -1.27, 0.0, 0.01, 0.0, 0.0, 0.0];
        let bytes = encode(&rows, [0.5; 7]);
        assert_eq!(bytes.len(), HEADER_BYTES + 14);
        assert_eq!(bytes[HEADER_BYTES + 7] as i8, 127);
        assert_eq!(bytes[HEADER_BYTES + 8] as i8, -127);
    }
}
