//! The readers, one file per test framework, and the one list of them.
//!
//! A reader looks through the lines that no reader before it has taken, recognises what its framework
//! prints, takes those lines and gives the figures. It knows nothing of exit codes: whether the
//! figures are believed is decided in `verdict.rs`.
//!
//! To add a framework: a file with `read`, its `mod` line, and its line in the list below.

use serde::{Deserialize, Serialize};

use super::summary::Reading;
use super::text::Lines;

mod bun;
mod cargo_test;
mod ctest;
mod deno;
mod dotnet;
mod exunit;
mod go_json;
mod go_test;
mod gradle;
mod jest;
pub(super) mod junit;
mod maven;
mod meson;
mod minitest;
mod mocha;
mod nextest;
mod node_test;
mod phpunit;
pub(super) mod place;
mod playwright;
mod prove;
mod pytest;
mod rspec;
mod rust;
mod tap;
mod unittest;
mod vitest;

/// What a reader is: it takes the lines it understands and gives their figures, or `None` when the
/// output is not of its framework.
pub(super) type Reader = fn(&mut Lines<'_>) -> Option<Reading>;

/// How a framework prints its figures.
#[derive(Clone, Copy, PartialEq)]
enum Figures {
    /// Once, at the end.
    Whole,
    /// Part by part, with none for the whole.
    Parts,
}

/// Makes [`Framework`] and the list of readers out of one table.
macro_rules! frameworks {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal $figures:ident $read:path;)+) => {
        /// A test framework whose output can be read.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Framework {
            $($(#[doc = $doc])+ $variant,)+
            /// Not known: results are recognised by their text, else by the exit code alone.
            #[default]
            Unknown,
        }

        impl Framework {
            /// Every framework that has a reader, in the order in which they are tried: those whose
            /// blocks may hold another's lines come first.
            pub const ALL: &[Framework] = &[$(Framework::$variant,)+];

            /// The name that people know it by.
            pub fn name(self) -> &'static str {
                match self {
                    $(Framework::$variant => $name,)+
                    Framework::Unknown => "unknown framework",
                }
            }

            /// How it prints its figures.
            fn figures(self) -> Figures {
                match self {
                    $(Framework::$variant => Figures::$figures,)+
                    Framework::Unknown => Figures::Parts,
                }
            }

            /// Its reader.
            pub(super) fn reader(self) -> Option<Reader> {
                match self {
                    $(Framework::$variant => Some($read),)+
                    Framework::Unknown => None,
                }
            }
        }
    };
}

frameworks! {
    /// JUnit's XML, printed by a reporter or read from a report file.
    Junit "JUnit XML" Parts junit::read;
    /// `cargo nextest run`; before `cargo test`, whose lines it shows inside its own.
    Nextest "cargo nextest" Whole nextest::read;
    /// `cargo test`: unit, integration and documentation tests.
    CargoTest "cargo test" Parts cargo_test::read;
    /// pytest, with or without `-q` and xdist.
    Pytest "pytest" Whole pytest::read;
    /// Python's own unittest, and Django's runner.
    Unittest "unittest" Whole unittest::read;
    /// Vitest.
    Vitest "vitest" Whole vitest::read;
    /// Jest.
    Jest "jest" Whole jest::read;
    /// Mocha, and Cypress, which prints like it.
    Mocha "mocha" Whole mocha::read;
    /// Playwright's test runner.
    Playwright "playwright" Whole playwright::read;
    /// `node --test`, reporters `tap` and `spec`.
    NodeTest "node --test" Whole node_test::read;
    /// `bun test`.
    Bun "bun test" Whole bun::read;
    /// `deno test`.
    Deno "deno test" Whole deno::read;
    /// `go test`, plain, `-v` and `-json`.
    GoTest "go test" Parts go_test::read;
    /// Maven with surefire or failsafe.
    Maven "maven" Parts maven::read;
    /// Gradle.
    Gradle "gradle" Parts gradle::read;
    /// `dotnet test`, VSTest and Microsoft.Testing.Platform.
    Dotnet "dotnet test" Parts dotnet::read;
    /// RSpec.
    Rspec "rspec" Whole rspec::read;
    /// Minitest and test-unit.
    Minitest "minitest" Whole minitest::read;
    /// PHPUnit, and Pest on top of it.
    Phpunit "phpunit" Whole phpunit::read;
    /// Elixir's ExUnit.
    Exunit "mix test" Whole exunit::read;
    /// CMake's ctest.
    Ctest "ctest" Whole ctest::read;
    /// `meson test`.
    Meson "meson test" Whole meson::read;
    /// The Test Anything Protocol: prove, bats, tape. Last, because others print it as a detail.
    Tap "TAP" Parts tap::read;
}

impl Framework {
    /// Whether an omission in the middle of its output may have swallowed figures.
    pub(super) fn prints_parts(self) -> bool {
        self.figures() == Figures::Parts
    }

    /// The readers to try first when a plan names this framework.
    pub(super) fn family(self) -> &'static [Framework] {
        match self {
            // The one is often followed by the other: nextest runs no documentation tests.
            Framework::CargoTest | Framework::Nextest => {
                &[Framework::Nextest, Framework::CargoTest]
            }
            // `prove` and others hand on what a program under test prints as XML.
            other => {
                let index = Self::ALL.iter().position(|known| *known == other);
                index.map_or(&[], |index| &Self::ALL[index..=index])
            }
        }
    }
}
