//! Errors of commands and their exit codes: 1 failed, 2 wrong input, 3 not found, 4 refused, 5 out of
//! reach. Each says what happened, to what, and what to do.

use crate::archive::ArchiveError;
use crate::bench::BenchError;
use crate::config::run::SettingsError;
use crate::config::settings::ConfigError;
use crate::engine::{AuditError, CheckpointError};
use crate::engine::{
    HistoryError, OpenError, ProcessError, RetentionError, SubmitError, WorkflowError,
};
use crate::store::{ScanError, StoreError};
use crate::task::ParseRefusal;
use std::process::ExitCode;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// Wrong usage or bad input.
    #[error("{0}")]
    Usage(String),
    /// The domain says no.
    #[error("{0}")]
    Refused(String),
    /// A needed service is out of reach.
    #[error("{0}")]
    OutOfReach(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Verifying.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// Checkpoints and keys.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Steering.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Looking back.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Reading the whole log.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Opening.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Submitting.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// Workflows.
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
    /// Settings of the program.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Settings of an execution.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A text that is no task.
    #[error(transparent)]
    Parse(#[from] ParseRefusal),
    /// Months and their archives.
    #[error(transparent)]
    Retention(#[from] RetentionError),
    /// A measurement.
    #[error(transparent)]
    Bench(#[from] crate::bench::BenchError),
    /// The embedded database.
    #[error(transparent)]
    Embedded(#[from] crate::embedded::EmbeddedError),
}

impl CliError {
    /// The code of the contract.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            CliError::Usage(_)
            | CliError::Config(_)
            | CliError::Settings(_)
            | CliError::Parse(_) => 2,
            CliError::Refused(_) => 4,
            CliError::OutOfReach(_) | CliError::Embedded(_) => 5,
            CliError::Bench(BenchError::Store(error)) => of_store(error),
            CliError::Bench(BenchError::Open(error)) => of_open(error),
            CliError::Bench(_) => 1,
            CliError::Store(error) => of_store(error),
            CliError::Retention(error) => of_retention(error),
            CliError::Audit(error) => of_store(&error.error),
            CliError::Checkpoint(error) => of_checkpoint(error),
            CliError::Process(error) => of_process(error),
            CliError::History(error) => of_history(error),
            CliError::Scan(error) => super::replay::of_scan(error),
            CliError::Open(error) => of_open(error),
            CliError::Submit(error) => of_submit(error),
            CliError::Workflow(error) => of_workflow(error),
        })
    }
}

pub(super) fn of_store(error: &StoreError) -> u8 {
    match error {
        StoreError::NotFound { .. } => 3,
        StoreError::Archived { .. } => 4,
        StoreError::Ambiguous { .. } | StoreError::Url(_) => 2,
        StoreError::Unreachable(_) | StoreError::Schema(_) | StoreError::NotDurable(_) => 5,
        StoreError::Refused(_) | StoreError::Unreadable { .. } => 5,
    }
}

fn of_retention(error: &RetentionError) -> u8 {
    match error {
        RetentionError::Store(error) => of_store(error),
        RetentionError::NoMonth(_) | RetentionError::Archive(ArchiveError::None(_)) => 3,
        RetentionError::Archive(ArchiveError::Io { .. } | ArchiveError::Busy(_)) => 5,
        RetentionError::Archive(ArchiveError::Broken { .. }) => 1,
        RetentionError::Archive(ArchiveError::Exists(_))
        | RetentionError::NotOver(_)
        | RetentionError::Held { .. }
        | RetentionError::Gone(_)
        | RetentionError::Present(_)
        | RetentionError::NotArchived(_)
        | RetentionError::Differs { .. } => 4,
    }
}

fn of_checkpoint(error: &CheckpointError) -> u8 {
    match error {
        CheckpointError::Store(error) => of_store(error),
        // What is there is not what was signed.
        CheckpointError::Note { .. } | CheckpointError::Heads { .. } => 1,
        CheckpointError::File { .. } | CheckpointError::OpenKey(_) => 2,
    }
}

fn of_process(error: &ProcessError) -> u8 {
    match error {
        ProcessError::Refused(_) | ProcessError::Busy(_) => 4,
        ProcessError::Store(error) => of_store(error),
    }
}

fn of_history(error: &HistoryError) -> u8 {
    match error {
        HistoryError::NoSuchMoment(_) => 3,
        HistoryError::Store(error) => of_store(error),
    }
}

fn of_open(error: &OpenError) -> u8 {
    match error {
        OpenError::Embedded(_) => 5,
        OpenError::Store(error) => of_store(error),
        OpenError::Workflow(error) => of_workflow(error),
    }
}

fn of_submit(error: &SubmitError) -> u8 {
    match error {
        SubmitError::Store(error) => of_store(error),
        SubmitError::Workflow(error) => of_workflow(error),
        SubmitError::Parse(_)
        | SubmitError::Task(_)
        | SubmitError::Settings(_)
        | SubmitError::Repository(_)
        | SubmitError::Preflight(_)
        | SubmitError::EmptyKey
        | SubmitError::Input(_) => 2,
    }
}

fn of_workflow(error: &WorkflowError) -> u8 {
    match error {
        WorkflowError::Unknown { .. } => 3,
        WorkflowError::Wrong { .. } | WorkflowError::Unreadable { .. } => 2,
        WorkflowError::Store(error) => of_store(error),
    }
}
