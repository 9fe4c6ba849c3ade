//! Months of the log: written to files, given up, put back.
//!
//! At every moment the events are in the database, in a proven archive on disk, or in both: a month is
//! given up only after its archive was read back from disk and compared under a lock.

use super::Longhaul;
use crate::archive::{Archive, ArchiveError, Writer, verify};
use crate::store::{HeldBy, MonthHead, MonthRange, NewArchive, StoreError};
use chrono::{Datelike, NaiveDate};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Rows that are put back at once.
const ROWS: usize = 2_000;

/// Why a month stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The files.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A month that the log does not have.
    #[error("the log has no month {0}; `longhaul archive list` shows those it has")]
    NoMonth(String),
    /// It has not ended.
    #[error("month {0} is not over; archive it when it is")]
    NotOver(String),
    /// Executions that have not ended.
    #[error("month {month} is held by {} open executions: {}; end them, or wait", .held.count, shown(.held))]
    Held {
        /// As in `2026-10`.
        month: String,
        /// Which.
        held: HeldBy,
    },
    /// It was given up before.
    #[error("the events of month {0} are in its archive only; restore it first")]
    Gone(String),
    /// There is nothing to put back.
    #[error("the events of month {0} are in the database; nothing to restore")]
    Present(String),
    /// Nothing was archived.
    #[error("month {0} has no archive; write one with `longhaul archive create`")]
    NotArchived(String),
    /// The archive is another one, or things have changed since.
    #[error("month {month} is not given up: {what}")]
    Differs {
        /// As in `2026-10`.
        month: String,
        /// What differs.
        what: String,
    },
}

fn shown(held: &HeldBy) -> String {
    let some = held.some.iter().map(|(id, status)| format!("{id} ({status})"));
    let more = if held.count > held.some.len() as i64 { ", ..." } else { "" };
    some.collect::<Vec<_>>().join(", ") + more
}

/// A month in words, as in `2026-10`.
pub fn month_name(month: NaiveDate) -> String {
    month.format("%Y-%m").to_string()
}

impl Longhaul {
    /// The months of the log that are over, oldest first, up to (not including) `before`.
    pub async fn months_over(
        &self,
        before: Option<NaiveDate>,
    ) -> Result<Vec<MonthRange>, StoreError> {
        let today = self.clock.now().date_naive();
        let current = today.with_day(1).unwrap_or(today);
        let end = before.map_or(current, |b| b.min(current));
        Ok(self.store.months().await?.into_iter().filter(|m| m.month < end).collect())
    }

    /// Writes a month to a directory of its own below `to`, proves it, and notes it. The month must be
    /// over and every execution in it must have ended.
    pub async fn archive_month(
        &self,
        month: NaiveDate,
        to: &Path,
    ) -> Result<Archive, RetentionError> {
        let name = month_name(month);
        let range = self.range(month).await?;
        let over = self.months_over(None).await?;
        if !over.contains(&range) {
            return Err(RetentionError::NotOver(name));
        }
        if self.store.archives().await?.iter().any(|a| a.month == month && a.dropped_at.is_some()) {
            return Err(RetentionError::Gone(name));
        }
        let held = self.store.held_by(&range).await?;
        if held.count > 0 {
            return Err(RetentionError::Held { month: name, held });
        }
        let now = self.clock.now();
        let mut writer = Writer::begin(to, &name, range.since_ever, &self.actor, now)?;
        self.write(&range, &mut writer).await?;
        let archive =
            tokio::task::spawn_blocking(move || writer.finish()).await.map_err(broke)??;
        let new = NewArchive {
            range,
            place: archive.place.display().to_string(),
            manifest: archive.digest,
            executions: archive.manifest.executions as i64,
            events: archive.manifest.events as i64,
            log_chunks: archive.manifest.log_chunks as i64,
        };
        self.store.note_archive(&new, &self.actor, now).await?;
        Ok(archive)
    }

    async fn write(&self, range: &MonthRange, writer: &mut Writer) -> Result<(), RetentionError> {
        let mut after = None;
        loop {
            let heads = self.store.month_heads(range, after).await?;
            let Some(last) = heads.last() else { break };
            after = Some(last.execution_id);
            writer.heads(&heads)?;
        }
        let mut after = (Uuid::nil(), 0);
        loop {
            let events = self.store.month_events(range, after).await?;
            let Some(last) = events.last() else { break };
            after = (last.execution_id, last.sequence);
            writer.events(events)?;
        }
        let mut after = (Uuid::nil(), String::new(), 0, 0);
        loop {
            let chunks = self.store.month_logs(range, &after).await?;
            let Some(last) = chunks.last() else { return Ok(()) };
            after = (last.execution_id, last.stage.clone(), last.attempt, last.chunk);
            writer.logs(chunks)?;
        }
    }

    /// Gives up the events and the output of a month whose archive proves itself and is what is here.
    /// `from`: where the archive is, if it was moved. Needs the owner of the tables.
    pub async fn drop_month(
        &self,
        month: NaiveDate,
        from: Option<&Path>,
    ) -> Result<Archive, RetentionError> {
        let name = month_name(month);
        let range = self.range(month).await?;
        let known = self.store.archives().await?.into_iter().find(|a| a.month == month);
        let known = known.ok_or_else(|| RetentionError::NotArchived(name.clone()))?;
        if known.dropped_at.is_some() {
            return Err(RetentionError::Gone(name));
        }
        let place = from.map_or_else(|| PathBuf::from(&known.place), Path::to_owned);
        let archive = proven(&place, &name).await?;
        let heads: Vec<MonthHead> = archive.heads()?.collect::<Result<_, _>>()?;
        let held = self.store.held_by(&range).await?;
        if held.count > 0 {
            return Err(RetentionError::Held { month: name, held });
        }
        let chunks = archive.manifest.log_chunks as i64;
        let now = self.clock.now();
        let given_up = self.store.give_up_month(&range, &heads, chunks, &self.actor, now).await?;
        given_up.map_err(|what| RetentionError::Differs { month: name, what })?;
        Ok(archive)
    }

    /// Puts the events and the output of a month back that was given up. Needs the owner of the
    /// tables.
    pub async fn restore_month(&self, from: &Path) -> Result<Archive, RetentionError> {
        let opened = Archive::open(from)?;
        let name = opened.manifest.month.clone();
        let archive = proven(from, &name).await?;
        let unknown = || RetentionError::NoMonth(name.clone());
        let month = NaiveDate::parse_from_str(&format!("{name}-01"), "%Y-%m-%d");
        let range = self.range(month.map_err(|_| unknown())?).await?;
        let archives = self.store.archives().await?;
        if !archives.iter().any(|a| a.month == range.month && a.dropped_at.is_some()) {
            return Err(RetentionError::Present(name));
        }
        self.same_heads(&range, &archive).await?;
        let mut back = self.store.put_back(&range).await?;
        let mut rows = Vec::with_capacity(ROWS);
        for event in archive.events()? {
            rows.push(event?);
            if rows.len() == ROWS {
                back.events(&rows).await?;
                rows.clear();
            }
        }
        back.events(&rows).await?;
        let mut rows = Vec::with_capacity(ROWS);
        for chunk in archive.logs()? {
            rows.push(chunk?);
            if rows.len() == ROWS {
                back.logs(&rows).await?;
                rows.clear();
            }
        }
        back.logs(&rows).await?;
        if !back.finish(&self.actor, self.clock.now()).await? {
            return Err(RetentionError::Present(name));
        }
        Ok(archive)
    }

    /// The summary rows stay when a month is given up: they name the streams that must come back.
    async fn same_heads(
        &self,
        range: &MonthRange,
        archive: &Archive,
    ) -> Result<(), RetentionError> {
        let mut archived = archive.heads()?;
        let mut after = None;
        loop {
            let heads = self.store.month_heads(range, after).await?;
            for head in &heads {
                if archived.next().transpose()?.as_ref() != Some(head) {
                    return Err(differs(archive, head.execution_id));
                }
                after = Some(head.execution_id);
            }
            if heads.is_empty() {
                let more = archived.next().transpose()?;
                return more.map_or(Ok(()), |h| Err(differs(archive, h.execution_id)));
            }
        }
    }

    async fn range(&self, month: NaiveDate) -> Result<MonthRange, RetentionError> {
        let known = self.store.months().await?.into_iter().find(|m| m.month == month);
        known.ok_or_else(|| RetentionError::NoMonth(month_name(month)))
    }
}

fn differs(archive: &Archive, id: Uuid) -> RetentionError {
    let what =
        format!("execution {id} ends elsewhere here; it is not the archive of this database");
    RetentionError::Archive(ArchiveError::Broken { path: archive.place.clone(), what })
}

/// The archive at a place, on disk and proven.
async fn proven(place: &Path, month: &str) -> Result<Archive, RetentionError> {
    let path = place.to_owned();
    let check = move || -> Result<Archive, ArchiveError> {
        let archive = verify(&path)?;
        archive.sync()?;
        Ok(archive)
    };
    let archive = tokio::task::spawn_blocking(check).await.map_err(broke)??;
    if archive.manifest.month != month {
        let what = format!("it holds month {}, not {month}", archive.manifest.month);
        return Err(ArchiveError::Broken { path: archive.place, what }.into());
    }
    Ok(archive)
}

fn broke(error: tokio::task::JoinError) -> RetentionError {
    StoreError::Refused(format!("writing the archive broke down: {error}")).into()
}
