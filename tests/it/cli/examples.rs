//! The examples run, on a database of the test's.

use super::harness::{Ended, PROGRAM};
use crate::support::database::TestDatabase;
use std::path::Path;
use std::process::Command;

async fn run(name: &str) -> String {
    let database = TestDatabase::new().await;
    let program = Path::new(PROGRAM).parent().expect("a directory").join("examples").join(name);
    let mut command = Command::new(&program);
    command.env("DATABASE_URL", &database.url).env("LONGHAUL_HOME", database.home.path());
    let output = command.output().unwrap_or_else(|e| {
        panic!("{}: {e}; build it with `cargo build --examples`", program.display())
    });
    Ended::of(&output).expect_code(0).stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn data_migration() {
    let said = run("data_migration").await;
    assert!(said.contains(": completed") && said.contains(r#"{"migrated":250}"#), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn review_gate() {
    let said = run("review_gate").await;
    assert!(said.contains("audit    succeeded"), "{said}");
}
