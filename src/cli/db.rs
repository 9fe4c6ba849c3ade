//! `db start|stop|status|psql|migrate`, and the hidden `db guard` that runs the embedded database.

use super::args::{Db, DbAction};
use super::error::CliError;
use super::session::{Session, guardian};
use super::{Done, out};
use crate::embedded::{self, Config};
use crate::store::Parts;
use crate::store::role_statements;
use serde_json::json;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

pub(super) async fn db(session: &Session, args: &Db) -> Done {
    match &args.action {
        DbAction::Start => start(session).await,
        DbAction::Stop => stop(session).await,
        DbAction::Status => status(session).await,
        DbAction::Psql { arguments } => psql(session, arguments).await,
        DbAction::Migrate => migrate(session).await,
        DbAction::Roles { app, apply } => roles(session, app, *apply).await,
        DbAction::Guard { .. } => Ok(ExitCode::SUCCESS),
    }
}

/// Runs the embedded database until nobody needs it; blocks.
pub(super) fn guard(arguments: Vec<OsString>) -> ExitCode {
    // Goes to the guardian's log file.
    let filter = tracing_subscriber::EnvFilter::new("longhaul=info,warn");
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = log.with_ansi(false).with_target(false).try_init();
    let done = Config::from_guard_arguments(arguments).and_then(|config| embedded::guard(&config));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::error(&error.to_string());
            ExitCode::from(5)
        }
    }
}

fn config(session: &Session) -> Result<Config, CliError> {
    if session.settings.database_url().is_some() {
        let said = "a database URL is set; this command is about the embedded database";
        return Err(CliError::Usage(said.to_owned()));
    }
    Ok(Config::for_home(Some(session.home.root()))?)
}

async fn start(session: &Session) -> Done {
    let progress = |text: &str| out::note(text);
    embedded::start(&config(session)?, guardian()?, &progress).await?;
    status(session).await
}

async fn stop(session: &Session) -> Done {
    let config = config(session)?;
    if embedded::status(&config)?.users_attached {
        out::note("somebody uses it: a worker that is attached starts it again by itself");
    }
    let stopped = embedded::stop(&config).await?;
    if session.json() {
        out::json(&json!({"stopped": stopped}));
    } else {
        out::line(if stopped { "the embedded database has stopped" } else { "it did not run" });
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(session: &Session) -> Done {
    if session.settings.database_url().is_some() {
        let engine = session.open().await?;
        let version: String = sqlx_version(&engine).await?;
        let parts = engine.store().parts().await?;
        engine.close().await;
        if session.json() {
            let log = json!({"months": names(&parts), "outside": parts.outside});
            out::json(&json!({"running": true, "embedded": false, "version": version, "log": log}));
        } else {
            out::line(format!("an external database answers: {version}"));
            out::line(said_of(&parts));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let status = embedded::status(&config(session)?)?;
    if session.json() {
        out::json(&status);
        return Ok(ExitCode::SUCCESS);
    }
    let text =
        |path: &Option<PathBuf>| path.as_ref().map_or("-".to_owned(), |p| p.display().to_string());
    let number = |n: Option<u32>| n.map_or("-".to_owned(), |n| n.to_string());
    let rows = [
        ("running", status.running.to_string()),
        ("in use", status.users_attached.to_string()),
        ("kept running", status.kept_running.to_string()),
        ("postgres", number(status.postgres_pid)),
        ("guardian", number(status.guardian_pid)),
        ("version", status.version.clone().unwrap_or_else(|| number(status.major))),
        ("user", status.user.clone().unwrap_or_else(|| "-".to_owned())),
        ("data", status.data_dir.display().to_string()),
        ("socket", text(&status.socket_dir)),
        ("programs", text(&status.binaries)),
        ("size", format!("{:.1} MB", status.size_bytes as f64 / 1e6)),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(k, v)| vec![k.to_owned(), v]).collect();
    out::table(&["EMBEDDED", ""], &rows);
    Ok(ExitCode::SUCCESS)
}

fn names(parts: &Parts) -> Vec<&str> {
    parts.months.iter().map(|p| p.name.as_str()).collect()
}

/// The parts of the log in words; events outside of every month are an alarm.
fn said_of(parts: &Parts) -> String {
    let names = names(parts);
    let range = match names.as_slice() {
        [] => "no months".to_owned(),
        [first, .., last] if first != last => format!("months {first} to {last}"),
        [first, ..] => format!("month {first}"),
    };
    match parts.outside {
        0 => format!("the log: {range}"),
        n => format!(
            "the log: {range}; ALARM: {n} events lie in no month; run `longhaul db migrate`, and see \
             why no worker made the month ahead"
        ),
    }
}

async fn sqlx_version(engine: &crate::Longhaul) -> Result<String, CliError> {
    Ok(engine.store().server_version().await?)
}

async fn migrate(session: &Session) -> Done {
    // Opening migrates; a schema that is newer than the program is refused there.
    let engine = session.open().await?;
    engine.close().await;
    if session.json() {
        out::json(&json!({"migrated": true}));
    } else {
        out::line("the schema is up to date");
    }
    Ok(ExitCode::SUCCESS)
}

async fn roles(session: &Session, app: &str, apply: bool) -> Done {
    let Some(statements) = role_statements(app) else {
        let said = format!("`{app}` is no name for a role; write a-z, 0-9 and _");
        return Err(CliError::Usage(said));
    };
    if !apply {
        out::raw(&statements);
        return Ok(ExitCode::SUCCESS);
    }
    let engine = session.open().await?;
    engine.store().grant_role(app).await?;
    engine.close().await;
    if session.json() {
        out::json(&json!({"role": app}));
    } else {
        out::line(format!("the role `{app}` may read and add events, and alter none"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens psql. On the embedded database this process stays and holds its attachment, because psql's
/// own connection would not keep the database running.
async fn psql(session: &Session, arguments: &[OsString]) -> Done {
    if let Some(url) = session.settings.database_url() {
        let error = external_psql(url, arguments)?.exec();
        return Err(CliError::OutOfReach(format!("psql cannot be run: {error}; is it installed?")));
    }
    let config = config(session)?;
    let attachment = embedded::attach(&config, guardian()?, &|text| out::note(text)).await?;
    let binaries = embedded::status(&config)?.binaries;
    let beside = binaries.map(|b| b.join("psql")).filter(|p| p.exists());
    let mut command = Command::new(beside.unwrap_or_else(|| "psql".into()));
    // The embedded database has no password, so that its address may be seen.
    command.arg(attachment.url(embedded::DATABASE)).args(arguments);
    let ended = tokio::task::spawn_blocking(move || command.status()).await;
    match ended {
        Ok(Ok(status)) => Ok(ExitCode::from(status.code().unwrap_or(1) as u8)),
        Ok(Err(error)) => {
            Err(CliError::OutOfReach(format!("psql cannot be run: {error}; is it installed?")))
        }
        Err(error) => Err(CliError::OutOfReach(format!("psql broke down: {error}"))),
    }
}

/// The URL may hold a password: that goes by the environment, not by the argument list.
fn external_psql(url: &str, arguments: &[OsString]) -> Result<Command, CliError> {
    let wrong = |_| CliError::Usage("the database URL cannot be read".to_owned());
    let mut url: reqwest::Url = url.parse().map_err(wrong)?;
    let mut command = Command::new("psql");
    let in_query = url.query_pairs().find(|(k, _)| k == "password").map(|(_, v)| v.into_owned());
    if let Some(password) = &in_query {
        command.env("PGPASSWORD", password);
    }
    // psql does not know our own option.
    let is_taken = |key: &str| matches!(key, "password" | "pgbouncer");
    if url.query_pairs().any(|(k, _)| is_taken(&k)) {
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(k, _)| !is_taken(k))
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(kept);
    }
    if let Some(password) = url.password() {
        command.env("PGPASSWORD", percent_decoded(password));
        // Only a URL without a host refuses this, and that one has no password.
        let _ = url.set_password(None);
    }
    command.arg(url.as_str()).args(arguments);
    Ok(command)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let decoded =
            digits.filter(|_| *first == b'%').and_then(|d| u8::from_str_radix(d, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_by_the_environment() {
        let command =
            external_psql("postgres://me:p%40ss%@host/db", &["-c".into()]).expect("a command");
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["postgres://me@host/db", "-c"]);
        let password = command.get_envs().find(|(name, _)| *name == "PGPASSWORD");
        assert_eq!(password.and_then(|(_, value)| value), Some("p@ss%".as_ref()));
        let command = external_psql("postgres://me@host/db?password=p&sslmode=prefer", &[]);
        let command = command.expect("a command");
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["postgres://me@host/db?sslmode=prefer"]);
    }
}
