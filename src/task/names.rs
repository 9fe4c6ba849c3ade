//! The closed vocabularies of a task: type, priority, complexity class, risk category and the like.
//!
//! One macro gives each of them its spelling, so that JSON, command line and database read and write the
//! same words. Knows nothing of parsing.

use serde::{Deserialize, Serialize};

/// A word that is not one of a vocabulary: says which one was meant and what would have been right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{vocabulary} `{given}` is unknown; use one of: {known}")]
pub struct UnknownName {
    /// The vocabulary in plain words, for example `task type`.
    pub vocabulary: &'static str,
    /// What was given, at most 60 characters of it.
    pub given: String,
    /// The words that would have been accepted, comma separated.
    pub known: String,
}

macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident ($title:literal) { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word used in JSON, on the command line and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownName;

            fn from_str(word: &str) -> Result<Self, UnknownName> {
                let wanted = word.trim();
                Self::ALL.iter().copied().find(|one| one.as_str().eq_ignore_ascii_case(wanted)).ok_or_else(|| UnknownName {
                    vocabulary: $title,
                    given: wanted.chars().take(60).collect(),
                    known: Self::ALL.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

vocabulary! {
    /// What kind of work a task is. Decides the workflow and the base hours.
    TaskType ("task type") {
        /// New or changed capability that a user, admin or API client can see.
        Feature = "feature",
        /// A deviation from intended behaviour.
        Bugfix = "bugfix",
        /// A defect that hurts production or its users now.
        Hotfix = "hotfix",
        /// Structure, performance or technology changes, visible behaviour does not.
        Refactor = "refactor",
        /// Spike, prototype or study: the result may be thrown away.
        Experimental = "experimental",
        /// Only documentation text.
        Docs = "docs",
        /// Only tests, test data or test infrastructure.
        Test = "test",
        /// Dependencies, CI, build, release, configuration, licences, removals.
        Chore = "chore",
    }
}

vocabulary! {
    /// How soon a task has to be dealt with. Ordered: `Low < Critical`.
    Priority ("priority") {
        /// No rush, cosmetic, nice to have.
        Low = "low",
        /// Nothing was said.
        Medium = "medium",
        /// Urgent, a release blocked, a duty not met, many users hit.
        High = "high",
        /// Outage, data being lost, active exploit, wrong money.
        Critical = "critical",
    }
}

vocabulary! {
    /// Size and difficulty in three steps: 1-3, 4-6 and 7-10 of `complexity`.
    ComplexityClass ("complexity class") {
        /// 1 to 3: up to half a day.
        Simple = "simple",
        /// 4 to 6: one to some days.
        Medium = "medium",
        /// 7 to 10: a week and more, or risky.
        Complex = "complex",
    }
}

vocabulary! {
    /// What can go wrong with a task.
    RiskCategory ("risk category") {
        /// Login, tokens, permissions, vulnerabilities.
        Security = "security",
        /// Privacy law, licences, tax, audit.
        Compliance = "compliance",
        /// Loss, corruption, deletion, repair, duplicate records.
        DataIntegrity = "data_integrity",
        /// New or changed tables, backfill.
        SchemaMigration = "schema_migration",
        /// Public API, file formats, removed versions.
        BreakingChange = "breaking_change",
        /// Races, locks, double execution, idempotency.
        Concurrency = "concurrency",
        /// Latency, load, memory, size.
        Performance = "performance",
        /// Third-party services, libraries, platforms, upgrades.
        ExternalDependency = "external_dependency",
        /// The live system is or can be hit.
        ProductionImpact = "production_impact",
        /// Payments, invoices, prices, orders.
        Financial = "financial",
        /// Vague, undecided, missing details.
        UnclearRequirements = "unclear_requirements",
        /// Rewrites and whole systems.
        LargeScope = "large_scope",
        /// The text tries to steer the parser or the agent.
        PromptInjection = "prompt_injection",
    }
}

vocabulary! {
    /// How bad a risk would be. Ordered: `Low < High`.
    Severity ("severity") {
        /// Worth knowing.
        Low = "low",
        /// Worth care.
        Medium = "medium",
        /// Worth a second pair of eyes.
        High = "high",
    }
}

vocabulary! {
    /// Where an acceptance criterion was found.
    CriterionSource ("criterion source") {
        /// An item or sentence under a heading such as "Acceptance criteria".
        Heading = "heading",
        /// An open checkbox.
        Checkbox = "checkbox",
        /// A Given/When/Then scenario.
        Gherkin = "gherkin",
        /// A sentence with must, should, has to and their like.
        Modal = "modal",
        /// "Expected: ..." of a bug report.
        Expected = "expected",
        /// One of a list after "Done when:".
        DoneWhen = "done_when",
        /// A constraint such as "no behaviour change" or "at most 50 MB".
        Constraint = "constraint",
        /// Added by `enhance`, not in the text.
        Generated = "generated",
        /// Named by a language model, not located in the text.
        Model = "model",
    }
}

impl TaskType {
    /// The workflow that runs this type when the caller names none: docs, test and chore share `default`.
    #[must_use]
    pub const fn workflow(self) -> &'static str {
        match self {
            Self::Feature | Self::Bugfix | Self::Hotfix | Self::Refactor | Self::Experimental => {
                self.as_str()
            }
            Self::Docs | Self::Test | Self::Chore => "default",
        }
    }

    /// Hours of work for a task of medium complexity.
    #[must_use]
    pub const fn base_hours(self) -> f64 {
        match self {
            Self::Hotfix | Self::Docs => 2.0,
            Self::Chore => 3.0,
            Self::Bugfix | Self::Test => 4.0,
            Self::Experimental => 6.0,
            Self::Feature => 8.0,
            Self::Refactor => 12.0,
        }
    }
}

impl Priority {
    /// The priority on the scale 0 to 10 that queues sort by.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Low => 2,
            Self::Medium => 5,
            Self::High => 8,
            Self::Critical => 10,
        }
    }
}

impl ComplexityClass {
    /// The class of a complexity from 1 to 10; what lies outside counts as the nearest end.
    #[must_use]
    pub const fn of(complexity: u8) -> Self {
        match complexity {
            0..=3 => Self::Simple,
            4..=6 => Self::Medium,
            7..=u8::MAX => Self::Complex,
        }
    }

    /// What the base hours of the type are multiplied with.
    #[must_use]
    pub const fn factor(self) -> f64 {
        match self {
            Self::Simple => 0.5,
            Self::Medium => 1.0,
            Self::Complex => 2.0,
        }
    }
}
