//! Durable Postgres without set-up: our own supervisor around `initdb` and `postgres`.
//!
//! The walk: a process that needs the database calls [`attach`]. It takes `users.lock` (shared) and
//! looks whether a guardian holds `owner.lock`. If not, it starts one: a process of its own, or a
//! thread. The guardian finds the program files (or fetches them, pinned by hash), creates the
//! cluster, runs `postgres` as its child, and says in `owner.json` where it stands. When nobody has
//! held `users.lock` for some seconds, it takes that lock itself, stops Postgres and ends. So the
//! database is never taken from under a worker because the short command that started it ends.
//!
//! | dies | what follows |
//! |---|---|
//! | a user, by any signal | its lock is gone; when it was the last one, Postgres stops after a while |
//! | Postgres | the guardian starts it again; users see a lost connection and call `ensure_running` |
//! | the guardian | the kernel tells Postgres to stop; the next `ensure_running` starts another guardian |
//! | the machine | the next start recovers, since fsync and its kin are never touched |
//!
//! Knows nothing of the schema, of pools or of workflows. Never: a network port, a password, a
//! daemon that nobody owns, or a write into existing data.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end in a panic")
)]

mod attach;
mod binaries;
mod cluster;
mod config;
mod error;
mod fetch;
mod guardian;
mod layout;
mod leash;
mod locks;
mod packages;
mod patience;
mod pidfile;
mod privilege;
mod process;
mod record;
mod server;
mod spawn;
mod status;
mod sys;
mod unpack;
mod wait;
mod wire;

pub use attach::{Attachment, DATABASE, DATABASE_USER, attach};
pub use config::{Config, Origin};
pub use error::{EmbeddedError, Result};
pub use guardian::guard;
pub use record::Phase;
pub use spawn::GuardianMode;
pub use status::{Status, destroy, start, status, stop};
