//! Every SQL statement of the program, one file per noun.
//!
//! The store appends events, loads streams, keeps the queue and the leases. It knows the events'
//! envelope but not what they mean: `workflow` does. Never: a decision about an execution.

pub mod aggregate;
mod append;
mod appender;
mod archives;
mod audit;
mod audit_log;
mod chain;
mod children;
mod connect;
mod connections;
mod error;
mod executions;
mod framework;
mod intake;
mod logs;
mod made_up;
mod metrics;
mod migrate;
mod months;
mod permits;
mod queue;
mod roles;
mod scan;
mod scratch;
mod services;
mod tasks;
mod workers;
mod workflows;

pub use append::{Append, Disposition, Record, Summary};
pub use archives::{
    ArchiveRow, HeldBy, LogKey, MonthEvent, MonthHead, MonthRange, NewArchive, PutBack,
};
pub use audit::{AuditEvent, AuditPage, HeadReader, LAST_ID, LaneGap, StreamKind};
pub use audit_log::AUDIT_LOG;
pub use chain::{EventHeader, GENESIS, link};
pub use children::OnParentEnd;
pub use connect::{Connect, Store};
pub(crate) use connections::Session;
pub use error::{AppendError, StoreError};
pub use executions::{ExecutionRow, Filter, Loaded, Stored};
pub use framework::{CommandError, Commands, Log};
pub use logs::{LOG_PAGE, LogChunk};
pub use metrics::Metrics;
pub use months::{Part, Parts};
pub use permits::{Waiting, Wish};
pub use queue::{Claimed, statement};
pub use roles::role_statements;
pub use scan::{Head, Page, Scan, ScanError, ScanTotal, Scanned, Scanner};
pub use scratch::{Probe, RivalLog, Scratch};
pub use services::{Answer, COOL_DOWN, FAILURES_MAX, Rate};
pub use tasks::{Begun, NewExecution, NewTask, Submitted, TaskRow};
pub use workers::{Registration, WorkerRow};
pub use workflows::Registered;
