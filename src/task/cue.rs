//! What a word or phrase of the lexicon tells the parser.
//!
//! The sections of the lexicon files carry these names, for example `[risk security]` or `[verb bugfix]`.

use super::names::{Priority, RiskCategory, TaskType};

/// The meaning of a lexicon entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cue {
    /// Something misbehaves.
    Defect,
    /// A beginning that describes the system instead of asking for something.
    Opening,
    /// Praise that opens a complaint.
    Sarcasm,
    /// A verb of work of this type, wherever it stands.
    Verb(TaskType),
    /// A verb only as the first word of a sentence, elsewhere it is likely a noun.
    Lead(TaskType),
    /// The thing worked on decides the type (README, unit tests, pipeline).
    Object(TaskType),
    /// "Please", "can you".
    Request,
    /// A phrase that hides the words in it ("error message" is not an error).
    Neutral,
    /// The word "priority" and its like; the value stands beside it.
    PriorityField,
    /// A value for the field.
    PriorityValue(Priority),
    Low,
    High,
    Critical,
    /// It is happening, or has to be done, at this moment.
    Now,
    /// It is going on, or has been for some time.
    Ongoing,
    /// Somebody outside the team.
    Users,
    /// A weakness somebody could use.
    Vulnerable,
    /// Nobody can work.
    Outage,
    /// Damage that goes on: loss, exploit, wrong money.
    ActiveHarm,
    Production,
    NonProduction,
    /// The trouble is over.
    Resolved,
    Trivial,
    /// A duty by law or contract.
    Duty,
    Risk(RiskCategory),
    Heading(Section),
    /// Not part of this request.
    Optional,
    Modal,
    /// "at most", "within": a limit when a number follows.
    Bound,
    Constraint,
    /// A modal that speaks of getting the work done, not of the result.
    TimeChore,
    /// A modal that describes today's state or is a turn of phrase.
    Background,
    Negator,
    /// A negator that stands behind what it negates.
    NegatorAfter,
    Hedge,
    /// "... would be wrong" takes back what stands before it.
    Contradicted,
    Greeting,
    Farewell,
    Scenario(Step),
    NeedsTests,
    WaitsFor,
    AssignedTo,
    RepositoryField,
    Due,
    /// Speaks for a large piece of work.
    Big,
    /// Speaks for a small one.
    Small,
    SteerVerb,
    SteerObject,
    Steer,
}

/// What the text under a heading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Section {
    /// The request itself.
    Request,
    Acceptance,
    Expected,
    /// Steps to reproduce and what happens today.
    Steps,
    /// Background, environment, notes.
    Other,
    /// Out of scope, nice to have.
    Excluded,
}

/// A keyword of a Given/When/Then scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    Given,
    When,
    Then,
    And,
    Title,
}

impl Cue {
    /// The cue of a lexicon section, `None` for a name that does not exist.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.split_once(' ') {
            Some((group, rest)) => Self::grouped(group, rest).or_else(|| Self::plain(name)),
            None => Self::plain(name),
        }
    }

    fn grouped(group: &str, rest: &str) -> Option<Self> {
        match group {
            "verb" => rest.parse().ok().map(Self::Verb),
            "lead" => rest.parse().ok().map(Self::Lead),
            "object" => rest.parse().ok().map(Self::Object),
            "value" => rest.parse().ok().map(Self::PriorityValue),
            "risk" => rest.parse().ok().map(Self::Risk),
            "heading" => Section::named(rest).map(Self::Heading),
            "scenario" => Step::named(rest).map(Self::Scenario),
            _ => None,
        }
    }

    fn plain(name: &str) -> Option<Self> {
        Some(match name {
            "defect" => Self::Defect,
            "opening defect" => Self::Opening,
            "sarcasm" => Self::Sarcasm,
            "request" => Self::Request,
            "neutral" => Self::Neutral,
            "priority field" => Self::PriorityField,
            "low" => Self::Low,
            "high" => Self::High,
            "critical" => Self::Critical,
            "now" => Self::Now,
            "ongoing" => Self::Ongoing,
            "users" => Self::Users,
            "vulnerable" => Self::Vulnerable,
            "outage" => Self::Outage,
            "active harm" => Self::ActiveHarm,
            "production" => Self::Production,
            "non production" => Self::NonProduction,
            "resolved" => Self::Resolved,
            "trivial" => Self::Trivial,
            "duty" => Self::Duty,
            "optional" => Self::Optional,
            "modal" => Self::Modal,
            "bound" => Self::Bound,
            "constraint" => Self::Constraint,
            "time chore" => Self::TimeChore,
            "background" => Self::Background,
            "negator" => Self::Negator,
            "negator after" => Self::NegatorAfter,
            "hedge" => Self::Hedge,
            "contradicted" => Self::Contradicted,
            "greeting" => Self::Greeting,
            "farewell" => Self::Farewell,
            "needs tests" => Self::NeedsTests,
            "waits for" => Self::WaitsFor,
            "assigned to" => Self::AssignedTo,
            "repository field" => Self::RepositoryField,
            "due" => Self::Due,
            "big" => Self::Big,
            "small" => Self::Small,
            "steer verb" => Self::SteerVerb,
            "steer object" => Self::SteerObject,
            "steer" => Self::Steer,
            _ => return None,
        })
    }

    /// Cues made of everyday words ("no", "on", "die"), which mean something else in the next language.
    pub(crate) const fn is_function_word(self) -> bool {
        matches!(
            self,
            Self::Opening
                | Self::Sarcasm
                | Self::Negator
                | Self::NegatorAfter
                | Self::Hedge
                | Self::Contradicted
                | Self::Background
                | Self::Modal
                | Self::Bound
                | Self::Due
                | Self::Greeting
        )
    }

    /// Cues that speak for a type of work.
    pub(crate) const fn is_about_type(self) -> bool {
        matches!(self, Self::Defect | Self::Verb(_) | Self::Lead(_) | Self::Object(_))
    }
}

impl Section {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "request" => Self::Request,
            "acceptance" => Self::Acceptance,
            "expected" => Self::Expected,
            "steps" => Self::Steps,
            "other" => Self::Other,
            "excluded" => Self::Excluded,
            _ => return None,
        })
    }
}

impl Step {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "given" => Self::Given,
            "when" => Self::When,
            "then" => Self::Then,
            "and" => Self::And,
            "title" => Self::Title,
            _ => return None,
        })
    }
}
